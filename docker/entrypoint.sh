#!/bin/sh
# Starts fedsm with what is mounted as secrets: the node's credentials, under the names that the old project's image took,
# and the token's PIN.
set -eu

secrets=${SECRETS:-/run/secrets}
if [ -f "$secrets/ocean_user" ]; then
    FEDSM_RPCUSER=$(cat "$secrets/ocean_user")
    export FEDSM_RPCUSER
fi
if [ -f "$secrets/ocean_pass" ]; then
    FEDSM_RPCPASSWORD=$(cat "$secrets/ocean_pass")
    export FEDSM_RPCPASSWORD
fi
if [ -f "$secrets/user_pin" ]; then
    export FEDSM_PIN_FILE="${FEDSM_PIN_FILE:-$secrets/user_pin}"
fi
# SoftHSM2 does not start without its folder, and one that is mounted above hides that of the image.
if [ -n "${SOFTHSM2_CONF:-}" ]; then
    mkdir -p "$(sed -n 's/^directories.tokendir *= *//p' "$SOFTHSM2_CONF")"
fi
exec fedsm "$@"
