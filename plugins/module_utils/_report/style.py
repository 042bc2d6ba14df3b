# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""How the HTML page looks, in light and in dark."""

from __future__ import annotations

CSS = """
:root{--bg:#f4f6f9;--card:#fff;--ink:#18202c;--muted:#5a6675;--line:#e2e7ee;--soft:#eef2f7;--good:#14713f;--good-bg:#dff3e6;
--bad:#b3261e;--bad-bg:#fbe4e2;--warn:#7d5200;--warn-bg:#fbeecb;--info:#1d4fbf;--info-bg:#e1eafc;--used:#3b74e0;--old:#a9b6c8;
--wait:#cfd6df;--prepare:#9cc1f4;--disk:#2f6fde;--memory:#6a4bd0;--switch:#d6439b;--verify:#1f9d6b;--release:#9fd8bd;--other:#8b96a5;
--mark:#d6247f;--shadow:0 1px 2px rgba(20,30,50,.06),0 4px 16px rgba(20,30,50,.05)}
@media (prefers-color-scheme:dark){:root{--bg:#0e131a;--card:#161d27;--ink:#e7edf5;--muted:#9aa8ba;--line:#273241;--soft:#1d2632;
--good:#63d39b;--good-bg:#12341f;--bad:#ff8f86;--bad-bg:#451a18;--warn:#f0c15c;--warn-bg:#3d2e0c;--info:#8db4ff;--info-bg:#172c55;
--used:#5b92f5;--old:#4c5a6d;--wait:#3e4a5a;--prepare:#3d6196;--disk:#4d8bf5;--memory:#9a7dff;--switch:#ff6fbb;--verify:#36b980;
--release:#23603f;--other:#6d7a8b;--mark:#ff7ac0;--shadow:none}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",
Roboto,"Noto Sans","DejaVu Sans",sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:1240px;margin:0 auto;padding:32px 24px 48px}
h1,h2,h3,p,dl,dd,ul{margin:0;padding:0}
ul{list-style:none}
h1{font-size:30px;line-height:1.2;letter-spacing:-.01em;display:flex;flex-wrap:wrap;align-items:center;gap:12px;overflow-wrap:anywhere}
h2{font-size:17px;margin-bottom:12px}
h3{font-size:15px;margin-bottom:10px;overflow-wrap:anywhere}
small,.muted{color:var(--muted);font-weight:400}
.kind{color:var(--muted);font-size:13px;margin-bottom:6px;overflow-wrap:anywhere}
.story{color:var(--muted);font-size:16px;margin-top:8px;max-width:100ch;overflow-wrap:anywhere}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.badge{display:inline-block;border-radius:999px;padding:2px 10px;font-size:12px;font-weight:600;line-height:1.6;letter-spacing:0;
white-space:nowrap;background:var(--soft)}
.badge.good{color:var(--good);background:var(--good-bg)}.badge.bad{color:var(--bad);background:var(--bad-bg)}
.badge.warn{color:var(--warn);background:var(--warn-bg)}.badge.info{color:var(--info);background:var(--info-bg)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));gap:12px;margin:24px 0 16px}
.tiles>div,.card{background:var(--card);border:1px solid var(--line);border-radius:12px;box-shadow:var(--shadow)}
.tiles>div{padding:14px 16px}
dt{color:var(--muted);font-size:13px}
dd strong{display:block;font-size:26px;line-height:1.25;font-weight:650;letter-spacing:-.01em}
dd small{display:block;font-size:12.5px;line-height:1.4}
.card{padding:18px 20px;margin-bottom:16px}
.head{display:flex;flex-wrap:wrap;justify-content:space-between;gap:4px 24px}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:12.5px;color:var(--muted);align-items:center;margin-bottom:10px}
.legend li{display:flex;align-items:center;gap:6px}
.key{width:14px;height:10px;border-radius:2px;background:var(--other)}
.k-wait{background:var(--wait)}.k-prepare{background:var(--prepare)}.k-disk{background:var(--disk)}.k-memory{background:var(--memory)}
.k-switch{background:var(--switch)}.k-verify{background:var(--verify)}.k-release{background:var(--release)}
.k-seed{background:var(--disk);opacity:.6}.k-stop{background:var(--bad);opacity:.7}.k-off{height:3px;background:var(--mark)}
.k-mark{width:9px;height:9px;border-radius:1px;transform:rotate(45deg) scale(.85);background:var(--mark)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;font-weight:600}
thead th{color:var(--muted);font-size:12.5px;font-weight:500;padding:0 10px 6px;vertical-align:bottom;white-space:nowrap}
tbody th,tbody td{padding:0 10px;border-top:1px solid var(--line);white-space:nowrap;height:35px}
th:first-child,td:first-child{padding-left:0}
th:last-child,td:last-child{padding-right:0}
.moves .time{width:46%;min-width:240px;padding-left:6px;padding-right:6px}
.moves tbody tr:hover{background:var(--soft)}
.n{text-align:right}
.name{display:inline-block;max-width:240px;overflow:hidden;text-overflow:ellipsis;vertical-align:middle}
.way{color:var(--muted)}
.pause{font-weight:600}
.chip{display:inline-block;border:1px solid var(--line);border-radius:6px;padding:0 6px;font-size:12px;color:var(--muted);margin-left:4px}
svg{display:block}
.bar{overflow:visible}.axis text{fill:var(--muted);font-size:12px}
.grid{stroke:var(--line);stroke-width:1}
.b-whole{fill:var(--other);opacity:.35}.b-failed{fill:var(--bad);opacity:.8}.b-wait{fill:var(--wait)}.b-prepare{fill:var(--prepare)}
.b-disk{fill:var(--disk)}.b-memory{fill:var(--memory)}.b-switch{fill:var(--switch)}.b-verify{fill:var(--verify)}.b-release{fill:var(--release)}
.b-other{fill:var(--other)}.b-seed{fill:var(--disk);opacity:.6}.b-stop{fill:var(--bad);opacity:.7}.b-off{fill:var(--mark)}
.said{fill:var(--bad);font-size:12px;font-weight:600}
.mark{fill:var(--mark);stroke:var(--card);stroke-width:1.5}
.state{font-weight:600;color:var(--muted)}.s-failed,.s-not_started{color:var(--bad)}.s-already_there{color:var(--good)}.s-planned{color:var(--info)}
.r-failed .name{color:var(--bad)}
.notes li{display:flex;gap:12px;align-items:flex-start;padding:8px 0;border-top:1px solid var(--line)}
.notes li:first-child{border-top:0;padding-top:0}.notes p{overflow-wrap:anywhere;min-width:0}.notes .badge{flex:none}
.remedy{color:var(--muted)}
.hosts{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));gap:24px 28px;align-items:start}
.host{min-width:0}
.load{display:grid;grid-template-columns:44px 1fr;gap:2px 10px;align-items:center;margin-bottom:8px;font-size:13px;color:var(--muted)}
.load .what{grid-column:2}.load b{color:var(--ink);font-weight:600}
.track{fill:var(--soft)}.before .used{fill:var(--old)}.after .used{fill:var(--used)}
.chips{display:flex;flex-wrap:wrap;gap:6px;margin-top:10px}
.chips li{border-radius:6px;padding:1px 8px;font-size:12.5px;background:var(--soft);max-width:100%;overflow-wrap:anywhere}
.chips .came{background:var(--good-bg);color:var(--good)}.chips .gone{color:var(--muted);text-decoration:line-through}
.chips span[aria-hidden]{margin-right:3px;font-weight:700;display:inline-block;text-decoration:none}
summary{cursor:pointer;font-size:13px;color:var(--info);margin-top:6px}
.plain td,.plain tbody th{white-space:normal;padding:7px 10px;vertical-align:top;overflow-wrap:anywhere;height:auto}
.plain td:first-child,.plain tbody th:first-child{padding-left:0}
.why li+li{margin-top:4px}
footer{color:var(--muted);font-size:13px;margin-top:20px}
code{font:12.5px ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace}
:focus-visible{outline:2px solid var(--info);outline-offset:2px}
@media (max-width:640px){main{padding:20px 14px 32px}h1{font-size:24px}}
@media print{body{background:#fff}.card,.tiles>div{box-shadow:none;break-inside:avoid}}
"""
