/** The page: from the link to the call and back. Owns body[data-state], the bar and the keys. */
"use strict";

const link = new URLSearchParams(location.search);
const relayUrl = SignalingChannel.urlFor(location.href);
const media = new LocalMedia();
const tiles = new Tiles($("grid"));
const panels = new Panels({ onsend: (text) => room?.sendChat(text) ?? null, ontoggle: () => tiles.arrange() });
let room = null;
let refused = false;
let left = false;

/** The token of an invite link stays over a reload, but not in the address bar. */
function takeToken() {
	const token = new URLSearchParams(location.hash.slice(1)).get("token");
	if (token) history.replaceState({ token }, "", location.href.split("#")[0]);
}
onhashchange = takeToken;
takeToken();

for (const dialog of $$("dialog")) {
	dialog.prepend(make("h2", { dataset: { t: dialog.dataset.tLabel } }));
	dialog.append(make("button", { className: "plain", dataset: { t: "close" }, onclick: () => dialog.close() }));
}
I18n.use(Store.get("lang"));
for (const kind of Object.keys(media.chosen)) media.chosen[kind] = Store.get(kind);
tiles.setSpeaker(media.chosen.speaker);
const callPickers = new DevicePickers($("call-devices"), media, choose);

const entry = new Entry(media, {
	room: (link.get("room") ?? "").trim().slice(0, 64),
	name: (link.get("name") ?? Store.get("name")).slice(0, 64),
	onjoin: join,
	onchoose: choose,
});

function inviteLink(name) {
	return new URL(`.?${new URLSearchParams({ room: name })}`, location).href;
}

function join(name, person) {
	Store.set("name", person);
	refused = left = false;
	delete page.problem;
	quit();
	const hooks = { onentered, onrefused, onstate: render };
	room = new Room({ media, tiles, panels, url: relayUrl, room: name, name: person, token: history.state?.token }, hooks);
	render();
}

function onentered() {
	entry.close();
	$("call").hidden = $("bar").hidden = false;
	history.replaceState(history.state, "", inviteLink(room.room));
	render();
	$("mic").focus({ preventScroll: true });
}

function onrefused({ code, message, retryable }) {
	refused = true;
	const known = ["room_full", "bad_room"].includes(code) ? code : "refused";
	page.problem = code;
	const { room: name } = room;
	quit();
	entry.tell({ problem: known, message, retry: retryable ? () => join(name, $("name").value.trim()) : undefined });
	render();
}

function hangUp() {
	if (!room) return;
	quit();
	left = true;
	media.stopAll();
	if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
	for (const dialog of $$("dialog[open]")) dialog.close();
	$("call").hidden = $("bar").hidden = true;
	$("call-notices").replaceChildren();
	entry.open({ left: true });
	render();
	$("join").focus();
}

function render() {
	const state = room?.state ?? (refused ? "refused" : left ? "left" : "entry");
	page.state = state;
	page.others = $$(".tile:not([data-peer=self])").length;
	const words = room?.words ?? (state === "entry" ? "" : t(`s_${state}`));
	if ($("status").textContent !== words) $("status").textContent = words;
	const inCall = !$("call").hidden;
	$("title").textContent = inCall && room ? room.room : t("app");
	document.title = inCall && room ? `${room.room} · ${words}` : t("app");
	if (room?.unreachable && !inCall && !entry.trouble) {
		page.problem = "unreachable";
		entry.tell({ problem: "unreachable", url: relayUrl, retry: () => room?.retry(), cancel: giveUp });
	}
	if (inCall) delete page.problem;
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
	showSending($("mic"), $("cam"), media);
	setTool($("share"), "screen", t(media.screen ? "share_stop" : "share"));
	$("share").dataset.on = Boolean(media.screen);
	$("share").hidden = !LocalMedia.canShareScreen;
	callPickers.refresh();
	if ($("call").hidden) return entry.render();
	room?.render();
	const notices = deviceProblems(media).map((what) => {
		const devices = what.device.split(" ");
		const retry = () => media.start(Object.fromEntries(devices.map((device) => [device, true])));
		return notice(what, retry, () => dismiss(devices));
	});
	$("call-notices").replaceChildren(...notices);
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
	else if (LocalMedia.canShareScreen) await media.shareScreen();
}

function invite() {
	const url = inviteLink(room.room);
	$("link").value = url;
	$("link-local").hidden = !/^https?:\/\/(localhost|127\.|\[::1\])/.test(url);
	const code = qrCode(url);
	$("qr").toggleAttribute("hidden", !code);
	if (code) drawQr($("qr"), code);
	$("invite").showModal();
	$("link").select();
}

function more(open = $("more").ariaExpanded !== "true") {
	$("more").ariaExpanded = open;
	$("extras").dataset.open = open;
}

const keys = {
	m: ["microphone", () => entry.toggle("microphone")],
	v: ["camera", () => entry.toggle("camera")],
	s: ["share", toggleShare],
	c: ["chat", () => panels.toggle("chat")],
	i: ["invite", invite],
	d: ["details", () => panels.toggle("details")],
	f: ["full", () => fullScreen(document.documentElement)],
	x: ["hangup", hangUp],
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
	panels.render();
	onmedia();
	room?.render();
	disk?.render();
	render();
}

const keyOf = { mic: "m", cam: "v", share: "s", "invite-open": "i", full: "f", hangup: "x", "help-open": "?" };
for (const [id, key] of Object.entries(keyOf)) $(id).onclick = keys[key][1];
$("settings-open").onclick = () => $("settings").showModal();
$("more").onclick = () => more();
$("extras").onclick = () => more(false);
copyBy("link-copy", () => $("link").value);
copyBy("alone-copy", () => inviteLink(room.room));
$("lang").onclick = () => {
	const lang = I18n.lang === "zh" ? "en" : "zh";
	Store.set("lang", lang);
	I18n.use(lang);
	speak();
};
document.onkeydown = onkey;
// A closed tab should not leave a frozen face behind.
onpagehide = hangUp;
media.onchange = onmedia;
media.ondevices = () => (entry.render(), callPickers.refresh());

const disk = location.protocol === "file:" ? new DiskPage() : null;
speak();
if (!disk) entry.open();
