"""A D-Bus of a test's own, in place of the system's."""

from __future__ import annotations

BUS = """<busconfig><type>system</type><listen>unix:path={path}</listen>
<policy context="default"><allow own="*"/><allow send_destination="*"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
</policy></busconfig>"""
