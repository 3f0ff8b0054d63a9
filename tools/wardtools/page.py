"""The report on a study as one HTML page: self-contained, printable, no script; each proof is in it as text and as a file to save."""

from __future__ import annotations

import html
import time
from base64 import b64encode

from wardgate.custody.note import VerifierKey
from wardgate.custody.proof import check_proof
from wardtools.logdir import View
from wardtools.timeline import Life
from wardtools.words import plain, utc

_STYLE = """
body { font: 11pt/1.45 Georgia, serif; color: #1b1b1b; max-width: 46em;
margin: 2.5em auto; padding: 0 1em; }
h1 { font-size: 1.5em; margin: 0 0 .2em; } h2 { font-size: 1.1em; margin: 2em 0 .4em; border-bottom: 1px solid #999;
word-break: break-all; }
p.lead { color: #444; margin-top: 0; } code, pre { font: 8.5pt/1.4 monospace; }
pre { white-space: pre-wrap; word-break: break-all;
background: #f5f5f2; border: 1px solid #ddd; padding: .6em; } table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .35em .6em .35em 0; border-top: 1px solid #ddd; }
th { font-weight: normal; color: #555;
width: 11.5em; } ul { margin: .3em 0 0; padding-left: 1.2em; font-size: 9.5pt; color: #333; } li { overflow-wrap: anywhere; }
.good { color: #17602b; } .warn { color: #8a4b00; } .bad { color: #9c1c1c; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } tr, pre { break-inside: avoid; } a { color: inherit; } }
"""


def page(lives: list[Life], view: View, key: VerifierKey) -> str:
    """Return the page."""
    made = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
    known = sum(1 for life in lives if life.moments)
    proved = sum(1 for life in lives if life.proofs)
    body = [
        "<h1>Custody report</h1>",
        f'<p class="lead">Log {escape(key.name)}, {view.signed} signed records; made {made}.</p>',
        f"<p>{known} of {len(lives)} instances are in the log, {proved} have a proof in this page. ",
        "A proof shows that the record stands in the log whose key signed it. ",
        "It can be checked without the log and without this page:</p>",
        "<pre>wardtool custody check-proof FILE.tlog-proof --key box.vkey --dicom IMAGE.dcm</pre>",
        "<p>Take the public key from the owner of the box, not from here, and compare:</p>",
        f"<pre>{escape(key.text)}</pre>",
    ]
    for life in lives:
        body += _life(life, key)
    head = f'<meta charset="utf-8"><title>Custody report, {escape(key.name)}</title><style>{_STYLE}</style>'
    policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}{policy}</head><body>\n' + "\n".join(body) + "\n</body></html>\n"


def _life(life: Life, key: VerifierKey) -> list[str]:
    out = [f"<h2>SOP Instance {escape(life.instance)}</h2>"]
    if not life.moments:
        return [*out, '<p class="warn">The log has no record of it.</p>']
    out.append("<table>")
    for one in life.moments:
        signed = '<span class="good">signed</span>' if one.is_signed else '<span class="warn">durable, not signed yet</span>'
        if one.place in life.wrong:
            signed = f'<span class="bad">NOT AS IT WAS SIGNED</span> ({escape(life.wrong[one.place])})'
        clock = f'<span class="{"good" if one.quality == "synchronised" else "warn"}">{escape(one.clock)}</span>'
        remarks = "".join(f"<li>{escape(remark)}</li>" for remark in one.remarks)
        when = f"{escape(one.time[:23].replace('T', ' '))}Z<br>record {one.place}, {signed}<br>{clock}"
        out.append(f"<tr><th>{when}</th><td>{escape(one.sentence)}<ul>{remarks}</ul></td></tr>")
    out.append("</table>")
    for name, found in life.in_hand:
        kind = "good" if found.answer.value == 0 else "warn"
        out.append(f'<p class="{kind}">{"<br>".join(escape(line) for line in found.lines(name))}</p>')
    if not life.proofs:
        why = life.no_proof or "no record of it is as it was signed"
        return [*out, f'<p class="{"bad" if life.wrong else "warn"}">No proof: {escape(why)}</p>']
    for seen in life.seen:
        out.append(f'<p class="good">Witness {escape(seen.witness.name)} signed that checkpoint at {utc(seen.time_seconds)}.</p>')
    for place, proof in life.proofs.items():
        proven = check_proof(proof, key)
        sentence = f"Proven: record {proven.place} is under the signed checkpoint of {proven.checkpoint.size} records."
        link = f"data:text/plain;base64,{b64encode(proof).decode()}"
        save = f'<a download="{escape(life.instance)}-{place}.tlog-proof" href="{link}">Save this proof as a file</a>'
        out.append(f'<p class="good">{sentence} {save}</p>')
        out.append(f"<pre>{html.escape(proof.decode('utf-8', 'replace'))}</pre>")
    return out


def escape(text: str) -> str:
    """Return one line of text as HTML has it."""
    return html.escape(plain(text))
