"""The RPCs of a node's wallet, which this chain's nodes know by name only: they never have one loaded."""

from __future__ import annotations

# fmt: off
WALLET_METHODS = frozenset(
    {
        "abandontransaction", "abortrescan", "addmultisigaddress", "backupwallet",
        "blindrawtransaction", "bumpfee", "claimpegin", "createrawpegin", "createwalletdescriptor",
        "destroyamount", "dumpblindingkey", "dumpissuanceblindingkey", "dumpmasterblindingkey",
        "dumpprivkey", "dumpwallet", "encryptwallet", "getaddressesbylabel", "getaddressinfo",
        "getbalance", "getbalances", "gethdkeys", "getnewaddress", "getpeginaddress",
        "getrawchangeaddress", "getreceivedbyaddress", "getreceivedbylabel", "gettransaction",
        "getunconfirmedbalance", "getwalletinfo", "getwalletpakinfo", "importaddress",
        "importblindingkey", "importdescriptors", "importissuanceblindingkey",
        "importmasterblindingkey", "importmulti", "importprivkey", "importprunedfunds",
        "importpubkey", "importwallet", "initpegoutwallet", "issueasset", "keypoolrefill",
        "listaddressgroupings", "listdescriptors", "listissuances", "listlabels", "listlockunspent",
        "listreceivedbyaddress", "listreceivedbylabel", "listsinceblock", "listtransactions",
        "listunspent", "lockunspent", "migratewallet", "newkeypool", "psbtbumpfee", "reissueasset",
        "removeprunedfunds", "rescanblockchain", "send", "sendall", "sendmany", "sendtoaddress",
        "sendtomainchain", "sethdseed", "setlabel", "settxfee", "setwalletflag", "signblock",
        "signmessage", "signrawtransactionwithwallet", "simulaterawtransaction",
        "unblindrawtransaction", "unloadwallet", "upgradewallet", "walletcreatefundedpsbt",
        "walletdisplayaddress", "walletlock", "walletpassphrase", "walletpassphrasechange",
        "walletprocesspsbt",
    }
)
# fmt: on
