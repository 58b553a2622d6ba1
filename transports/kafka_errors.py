"""What goes wrong with a Kafka broker, each as one line for the operator, and Kafka's error codes."""

from __future__ import annotations

from kafka.errors import for_code

MAX_TEXT = 500

NO_ERROR = 0
OFFSET_OUT_OF_RANGE = 1
UNKNOWN_TOPIC = 3
LEADER_NOT_AVAILABLE = 5
NOT_LEADER = 6
MESSAGE_TOO_LARGE = 10
INVALID_TOPIC = 17
TOPIC_DENIED = 29
CLUSTER_DENIED = 31
UNSUPPORTED_MECHANISM = 33
TOPIC_EXISTS = 36
BAD_REPLICATION = 38
INVALID_CONFIG = 40
POLICY_VIOLATION = 44
AUTHENTICATION_FAILED = 58
INVALID_RECORD = 87

NOT_YET = (UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, NOT_LEADER)  # of a topic that was just created


class BrokerError(Exception):
    """One line on what a broker did or would not do. ``final``: trying again will not change it."""

    def __init__(self, text: str, *, final: bool = False) -> None:
        # Parts of it may come from the broker, and operators' terminals obey control characters.
        super().__init__("".join(char if char.isprintable() else "?" for char in text[:MAX_TEXT]))
        self.final = final


class OversizeError(BrokerError):
    """An answer was larger than the request allowed for."""


def error_name(code: int) -> str:
    """Kafka's name for an error code."""
    return str(for_code(code).__name__).removesuffix("Error")


def denied(what: str, topic: str) -> BrokerError:
    """The error of a member that has not been granted something on a topic."""
    return BrokerError(f"no permission to {what} the Kafka topic {topic}", final=True)
