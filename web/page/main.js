/** The page: from the link to the call and back. Owns body[data-state], the bar and the keys. */

import { SignalingChannel } from "../sdk/signaling.js";
import { DevicePickers, deviceProblems, notice, showSending } from "./devices.js";
import { $, $$, Store, make, page, replaceIfNew, row, setTool } from "./dom.js";
import { Entry } from "./entry.js";
import { inviteHint, inviteLink, learnSite, readyInvite, showInvite } from "./invite.js";
import { Log } from "./log.js";
import { LocalMedia } from "./media.js";
import { speakableName } from "./names.js";
import { Panels } from "./panels.js";
import { Room } from "./room.js";
import { I18n, nodes, t } from "./text.js";
import { Tiles, fullScreen } from "./tiles.js";

const link = new URLSearchParams(location.search);
const media = new LocalMedia();
const tiles = new Tiles($("grid"));
const panels = new Panels();
let room = null;
/** What ended: "refused", before the call; "left" or "out", after it. */
let ended = "";

Object.assign(globalThis, { Log, speakableName });

/** The token of an invite link stays over a reload, but not in the address bar. */
function takeToken() {
	const token = new URLSearchParams(location.hash.slice(1)).get("token");
	if (token) history.replaceState({ token }, "", location.href.split("#")[0]);
}
onhashchange = takeToken;
takeToken();

for (const dialog of $$("dialog[data-t-label]")) {
	dialog.prepend(make("h2", { dataset: { t: dialog.dataset.tLabel } }));
	dialog.append(make("button", { className: "plain", dataset: { t: "close" }, onclick: () => dialog.close() }));
}
I18n.use(Store.get("lang"));
for (const kind of Object.keys(media.chosen)) media.chosen[kind] = Store.get(kind);
tiles.setSpeaker(media.chosen.speaker);
const callPickers = new DevicePickers($("call-devices"), media, choose);

const entry = new Entry(media, {
	room: (link.get("room") ?? "").trim(),
	name: link.get("name") ?? Store.get("name"),
	onjoin: join,
	onchoose: choose,
});

function join({ room: name, name: person, password }) {
	Store.set("name", person);
	ended = "";
	delete page.problem;
	quit();
	const hooks = { onentered, onrefused, onstate: render, onhangup: hangUp };
	room = new Room({ media, tiles, panels, room: name, name: person, password, token: history.state?.token }, hooks);
	render();
}

function onentered() {
	entry.close();
	$("call").hidden = $("bar").hidden = false;
	history.replaceState(history.state, "", inviteLink(room.room, location.href));
	$("alone-text").textContent = t(inviteHint());
	render();
	$("mic").focus({ preventScroll: true });
}

function onrefused(error, stays) {
	const wasIn = !$("call").hidden;
	if (!stays) {
		quit();
		closeCall();
	}
	page.problem = error.code;
	if (stays) return onmedia();
	ended = wasIn ? "out" : "refused";
	if (wasIn) entry.open(ended);
	entry.refused(error);
	render();
}

function hangUp() {
	if (!room) return;
	quit();
	ended = "left";
	closeCall();
	entry.open(ended);
	render();
	$("join").focus();
}

function closeCall() {
	if ($("call").hidden) return;
	media.stopAll();
	if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
	for (const dialog of $$("dialog[open]")) dialog.close();
	$("call").hidden = $("bar").hidden = true;
	$("call-notices").replaceChildren();
	delete page.problem;
}

function render() {
	const state = room?.state ?? (ended || "entry");
	page.state = state === "out" ? "refused" : state;
	const [key, values] = room?.words ?? (state === "entry" ? [] : [`s_${state}`]);
	const words = key ? nodes(key, values) : [];
	replaceIfNew($("status"), ...words);
	if (key === "s_connected") $("status").dataset.short = t("s_short", values);
	else delete $("status").dataset.short;
	const inCall = !$("call").hidden && room !== null;
	$("title").textContent = inCall ? room.room : t("app");
	document.title = inCall ? `\u2068${room.room}\u2069 · ${t(key, values)}` : t("app");
	if (!inCall) showDoor();
	else if (!room.call.refusal) delete page.problem;
	if (inCall) showCallNotices();
}

function showDoor() {
	if (!room) return;
	const problem = room.call.state === "knocking" ? "door" : room.unreachable && "unreachable";
	if (!problem || entry.trouble?.problem === problem) return;
	page.problem = problem;
	const retry = problem === "door" ? [] : [["retry", () => room?.call.channel.reconnect()]];
	entry.tell({ device: "relay", problem, url: SignalingChannel.urlFor(location.href), waits: true, buttons: [...retry, ["cancel", giveUp]] });
}

function quit() {
	room?.leave();
	room = null;
}

function giveUp() {
	quit();
	delete page.problem;
	entry.tell(null);
	render();
}

function onmedia() {
	showSending($("mic"), $("cam"), media, media.described.audio);
	setTool($("share"), "screen", t(media.screen ? "share_stop" : "share"));
	$("share").dataset.on = Boolean(media.screen);
	$("share").hidden = !LocalMedia.canShareScreen;
	media.canFlip().then((can) => ($("flip").hidden = !(can && media.camera)));
	callPickers.refresh();
	if ($("call").hidden) return entry.render();
	room?.render();
	showCallNotices();
}

function showCallNotices() {
	const notices = deviceProblems(media).map((what) => {
		const devices = what.device.split(" ");
		const retry = () => media.start(Object.fromEntries(devices.map((device) => [device, true])));
		const again = what.problem === "insecure" ? [] : [["retry", retry]];
		return notice(what, ...again, ["cancel", () => dismiss(devices)]);
	});
	replaceIfNew($("call-notices"), ...(room?.notices ?? []), ...notices);
}

function dismiss(devices) {
	for (const device of devices) media.problems[device] = null;
	onmedia();
}

async function choose(kind, deviceId) {
	Store.set(kind, deviceId);
	if (kind === "speaker") {
		media.chosen.speaker = deviceId;
		await tiles.setSpeaker(deviceId);
	} else {
		await media.choose(kind, deviceId);
	}
}

async function toggleShare() {
	if (media.screen) media.stop("screen");
	else await media.shareScreen();
}

function more(open = $("more").getAttribute("aria-expanded") !== "true") {
	$("more").setAttribute("aria-expanded", open);
	$("extras").dataset.open = open;
}

const keys = {
	m: ["microphone", () => entry.toggle("microphone")],
	v: ["camera", () => entry.toggle("camera")],
	s: ["share", toggleShare],
	c: ["chat", () => panels.toggle("chat")],
	p: ["people", () => panels.toggle("people")],
	i: ["invite", () => showInvite(room.room)],
	d: ["details", () => panels.toggle("details")],
	f: ["full", () => fullScreen(document.documentElement)],
	x: ["hangup", () => $("leave").showModal()],
	"?": ["shortcuts", () => $("help").showModal()],
};

function onkey(event) {
	if (event.key === "Escape") {
		more(false);
		if (panels.open && !document.querySelector("dialog[open]")) panels.toggle(null);
		return;
	}
	const typing = event.target.closest?.("input, select, textarea, dialog");
	if (!room || $("call").hidden || typing || event.ctrlKey || event.metaKey || event.altKey) return;
	const action = $("keys-on").checked && keys[event.key.toLowerCase()]?.[1];
	if (!action) return;
	event.preventDefault();
	action();
}

function speak() {
	$("lang").textContent = t("language");
	$("lang").lang = I18n.lang === "en" ? "zh-CN" : "en";
	const rows = [...Object.entries(keys).map(([key, [text]]) => [key.toUpperCase(), text]), ["Esc", "close"]];
	$("keys").replaceChildren(...rows.map(([key, text]) => row(make("kbd", {}, key), t(text))));
	$("alone-text").textContent = t(inviteHint());
	panels.render();
	onmedia();
	room?.render();
	entry.render();
	render();
}

const keyOf = { mic: "m", cam: "v", share: "s", "invite-open": "i", "people-invite": "i", full: "f", "help-open": "?" };
for (const [id, key] of Object.entries(keyOf)) $(id).onclick = keys[key][1];
$("hangup").onclick = $("leave-yes").onclick = hangUp;
$("flip").onclick = () => media.flip();
$("settings-open").onclick = () => $("settings").showModal();
$("sounds-on").checked = Store.get("sounds") !== "off";
$("sounds-on").onchange = () => Store.set("sounds", $("sounds-on").checked ? "on" : "off");
$("more").onclick = () => more();
$("extras").onclick = () => more(false);
// A tap anywhere else closes the menu.
onpointerdown = ({ target }) => target.closest?.("#extras, #more") || more(false);
readyInvite(() => room.room);
$("lang").onclick = () => {
	const lang = I18n.lang === "zh" ? "en" : "zh";
	Store.set("lang", lang);
	I18n.use(lang);
	speak();
};
onkeydown = onkey;
// A closed tab should not leave a frozen face behind.
onpagehide = hangUp;
media.onchange = onmedia;

speak();
entry.open();
learnSite().then(speak);
