#!/bin/sh
# fedsm-hsm-init [M PUBKEY...]: makes the key $KEY_LABEL in the token unless it is there, and prints its public key; with M
# and the members' public keys, "-" in the place of ours, the block-signing script too.
# PIN: the secret user_pin, or USER_PIN. PIN of a new token's security officer: the secret so_pin, FEDSM_SO_PIN, or the PIN.
set -eu

secrets=${SECRETS:-/run/secrets}
if [ -n "${SOFTHSM2_CONF:-}" ]; then
    mkdir -p "$(sed -n 's/^directories.tokendir *= *//p' "$SOFTHSM2_CONF")"
fi
pin=${USER_PIN:-}
if [ -f "$secrets/user_pin" ]; then
    export FEDSM_PIN_FILE="$secrets/user_pin"
    pin=$(cat "$secrets/user_pin")
fi
so_pin=${FEDSM_SO_PIN:-$pin}
if [ -f "$secrets/so_pin" ]; then
    so_pin=$(cat "$secrets/so_pin")
fi

# Status 1: no such token or key yet. After any other, such as that of a refused PIN, nothing more is tried.
status=0
said=$(fedsm hsm pubkey 2>&1) || status=$?
case $status in
    0) public_key=$said ;;
    1) public_key=$(FEDSM_SO_PIN=$so_pin fedsm hsm init) ;;
    *) echo "$said" >&2; exit "$status" ;;
esac
echo "$public_key"

[ $# -gt 0 ] || exit 0
for argument; do
    shift
    if [ "$argument" = - ]; then argument=$public_key; fi
    set -- "$@" "$argument"
done
fedsm hsm multisig "$@"
