"""Names of IP protocols by IANA number, as of about 2010; `?` marks numbers without a name."""

from __future__ import annotations

_ROWS = {
    1: "ICMP|IGMP|GGP|IP-in-IP|ST|TCP|CBT|EGP|IGP|BBN-RCC-MON",
    11: "NVP-II|PUP|ARGUS|EMCON|XNET|CHAOS|UDP|MUX|DCN-MEAS|HMP",
    21: "PRM|XNS-IDP|TRUNK-1|TRUNK-2|LEAF-1|LEAF-2|RDP|IRTP|ISO-TP4|NETBLT",
    31: "MFE-NSP|MERIT-INP|DCCP|3PC|IDPR|XTP|DDP|IDPR-CMTP|TP++|IL",
    41: "IPv6|SDRP|IPv6-Route|IPv6-Frag|IDRP|RSVP|GRE|MHRP|BNA|ESP",
    51: "AH|I-NLSP|SWIPE|NARP|MOBILE|TLSP|SKIP|IPv6-ICMP|IPv6-NoNxt|IPv6-Opts",
    61: "?|CFTP|?|SAT-EXPAK|KRYPTOLAN|RVD|IPPC|SAT-MON|?|VISA",
    71: "IPCU|CPNX|CPHB|WSN|PVP|BR-SAT-MON|SUN-ND|WB-MON|WB-EXPAK|ISO-IP",
    81: "VMTP|SECURE-VMTP|VINES|TTP|NSFNET-IGP|DGP|TCF||OSPF|Sprite-RP",
    91: "LARP|MTP|AX.25|IPIP|MICP|SCC-SP|ETHERIP|ENCAP|?|GMTP",
    101: "IFMP|PNNI|PIM|ARIS|SCPS|QNX|A/N|IPComp|SNP|Compaq-Peer",
    111: "IPX-in-IP|VRRP|PGM|?|L2TP|DDX|IATP|STP|SRP|UTI",
    121: "SMP|SM|PTP|IS-IS|FIRE|CRTP|CRUDP|SSCOPMCE|IPLT|SPS",
    131: "PIPE|SCTP|FC|RSVP-E2E-IGNORE|Mobility Header|UDPLite|MPLS-in-IP|manet|HIP|Shim6",
    141: "WESP|ROHC",
}

PROTOCOLS = {
    number: name for start, row in _ROWS.items() for number, name in enumerate(row.split("|"), start) if name != "?"
}
