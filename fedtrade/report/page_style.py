"""The style sheet of every page; colours are variables of the theme."""

__all__ = ["STYLE_SHEET"]

# A module and not a .css file, which app bundles leave out.
STYLE_SHEET = """\
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1040px; margin: 0 auto; padding: 48px 32px 72px; }
h1, h2, h3 { line-height: 1.2; margin: 0; font-weight: 650; letter-spacing: -0.01em; }
h1 { font-size: 30px; }
h2 { font-size: 20px; margin: 56px 0 6px; padding-top: 18px; border-top: 1px solid var(--grid); }
h3 { font-size: 15px; margin: 24px 0 4px; }
p { margin: 8px 0; max-width: 84ch; text-wrap: pretty; }
.kicker { color: var(--muted); font-size: 13px; letter-spacing: 0.06em; text-transform: uppercase; }
.verdict {
  margin: 22px 0 0; padding: 16px 20px; max-width: none; font-size: 19px; line-height: 1.45;
  border-left: 4px solid var(--federated); background: var(--panel);
}
.note {
  margin: 10px 0; padding: 10px 20px; border-left: 4px solid var(--local); background: var(--panel);
  max-width: none;
}
.muted, figcaption, .small { color: var(--muted); font-size: 14px; }
.tiles {
  display: flex; flex-wrap: wrap; gap: 12px; margin: 22px 0 0; padding: 0; list-style: none;
}
.tiles li {
  flex: 1 1 180px; border: 1px solid var(--grid); border-radius: 6px; padding: 14px 16px;
}
.tiles strong {
  display: block; font-size: 26px; font-weight: 650; line-height: 1.25;
  font-variant-numeric: tabular-nums; letter-spacing: -0.01em;
}
.tiles span { color: var(--muted); font-size: 13px; line-height: 1.35; display: block; }
.scroll { overflow-x: auto; margin: 14px 0 6px; }
table {
  border-collapse: collapse; width: 100%; font-size: 14px;
  font-variant-numeric: tabular-nums lining-nums;
}
th, td {
  padding: 7px 0 7px 16px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--grid);
}
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th {
  color: var(--muted); font-weight: 500; font-size: 13px; line-height: 1.3; vertical-align: bottom;
  border-bottom: 1px solid var(--muted);
}
tbody th { font-weight: 400; vertical-align: top; }
tr.ours th, tr.ours td { background: var(--panel); }
tr.ours th { font-weight: 650; }
td.best { font-weight: 700; color: var(--bound); }
td.text, th.text { text-align: left; white-space: normal; overflow-wrap: anywhere; }
td.text { vertical-align: top; }
.dot { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 9px; }
.role { color: var(--muted); font-size: 13px; margin-left: 8px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 13px; color: var(--muted); }
figure { margin: 18px 0 0; }
figure svg {
  display: block; width: 100%; height: auto; font-family: inherit; stroke-linejoin: round;
}
figcaption { margin-top: 4px; max-width: 96ch; }
dl {
  margin: 14px 0; display: grid; grid-template-columns: max-content 1fr; gap: 6px 24px;
  font-size: 15px;
}
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
ul.sentences { margin: 8px 0; padding-left: 20px; max-width: 84ch; }
ul.sentences li { margin: 4px 0; text-wrap: pretty; }
details { margin: 14px 0; }
summary { cursor: pointer; color: var(--federated); font-size: 15px; }
pre {
  background: var(--panel); padding: 14px 16px; overflow-x: auto;
  font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
}
footer {
  margin-top: 56px; padding-top: 14px; border-top: 1px solid var(--grid); color: var(--muted);
  font-size: 13px;
}
@media (max-width: 640px) {
  main { padding: 24px 16px 48px; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 8px; }
  figure { overflow-x: auto; }
  figure svg { min-width: 560px; }
}
@media print {
  main { max-width: none; padding: 0; }
  body { font-size: 11pt; }
  h2 { break-after: avoid; }
  figure, tr, .tiles, .verdict, .note { break-inside: avoid; }
  .verdict, .note, tr.ours th, tr.ours td, .dot {
    -webkit-print-color-adjust: exact; print-color-adjust: exact;
  }
  .scroll { overflow: visible; }
}
"""
