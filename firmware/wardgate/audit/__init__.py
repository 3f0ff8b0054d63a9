"""PS3.15 A.5 audit messages, their way to the repositories by syslog (RFC 5424, 5425), and the spool in which they wait."""
