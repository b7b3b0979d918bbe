/** The operators' page: the state of the relay as it changes, its rooms and its connections. */

import { $, List, ask, button, complain, deed, duration, make, say, size } from "./dom.js";
import { Relay } from "./relay.js";
import { Room, factsOf } from "./room.js";

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 15_000;
/** Where connections are beside the rooms (page.css). */
const WIDE = matchMedia("(min-width: 900px)");

const relay = new Relay();
const rooms = new List($("room-list"), $("rooms-title"), roomEntry);
const connectionsHeading = $("connections-open").firstElementChild;
const connections = new List($("connection-list"), connectionsHeading, connectionEntry);
const relays = new List($("relay-list"), $("relays-title"), relayEntry);
const room = new Room(relay, (name) => {
	markOpen();
	const entry = [...$("room-list").children].find(({ dataset }) => dataset.room === name);
	(entry?.querySelector("button") ?? $("rooms-title")).focus();
});
/** The last state that the relay told. */
let state;
/** After which room the page of rooms begins that is shown. */
let roomsAfter = "";
/** Where its next page begins. */
let roomsNext;
let connectionsAfter = 0;
let connectionsNext;

/* The state */

async function watch() {
	let pause = FIRST_PAUSE_MS;
	for (;;) {
		try {
			for await (const news of relay.live()) {
				pause = FIRST_PAUSE_MS;
				if (news) showState(news);
				setLive(true, "Live");
				refresh();
			}
			setLive(false, "Connecting");
		} catch (error) {
			if (error.status === 401) {
				await askForToken();
				continue;
			}
			setLive(false, error.status ? `Trying again: ${error.message}` : "Not connected, trying again");
		}
		await new Promise((resolve) => setTimeout(resolve, pause));
		pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
	}
}

function setLive(isLive, words) {
	document.body.dataset.live = isLive;
	say($("status"), words);
}

/** Waits for a token. The relay tells whether it is the right one. */
function askForToken() {
	const form = $("token-form");
	setLive(false, "Not signed in");
	$("content").hidden = true;
	if (form.dataset.shown) complain("the relay does not take this token");
	form.hidden = false;
	$("token").focus();
	return new Promise((resolve) => {
		form.onsubmit = (event) => {
			event.preventDefault();
			$("error").hidden = true;
			relay.show($("token").value.trim());
			$("token").value = "";
			form.dataset.shown = "yes";
			form.hidden = true;
			setLive(false, "Connecting");
			resolve();
		};
	});
}

function showState(news) {
	state = news;
	delete $("token-form").dataset.shown;
	if ($("content").hidden && WIDE.matches) $("connections-open").open = true;
	$("content").hidden = false;
	say($("version"), state.version);
	for (const key of ["rooms", "peers", "knocks", "connections"]) say($(`count-${key}`), String(state[key]));
	const { pinned, budget } = state.memory;
	say($("memory"), budget === null ? size(pinned) : `${size(pinned)} of ${size(budget)}`);
	const drained = "Drained: nobody can make a new room, and those that are there go on.";
	const words = state.draining ? drained : "It takes new rooms.";
	say($("draining"), state.shuttingDown ? "The relay shuts down." : words);
	say($("drain"), state.draining ? "Take new rooms again" : "Drain");
	if (!roomsAfter) showRooms({ rooms: state.firstRooms, next: state.next });
}

$("drain").onclick = deed(async () => {
	const draining = !state.draining;
	const text = "Nobody can make a new room until you undo it, and /readyz says 503. Rooms that are there go on.";
	if (draining && (await ask({ title: ["Drain the relay?"], text, yes: "Drain" })) === null) return;
	await relay.post("drain", { draining });
});

/** What the stream of changes does not tell. */
let refreshes = false;
async function refresh() {
	if (refreshes) return;
	refreshes = true;
	// What fails now is asked again soon.
	const shown = [room.refresh(), roomsAfter && loadRooms(), $("connections-open").open && loadConnections()];
	await Promise.allSettled([...shown, loadRelays()]);
	refreshes = false;
}

/* Relays */

function relayEntry({ process, address }) {
	const facts = make("span", { className: "hint" });
	const element = make("li", {}, make("span", { className: "who" }, make("code", {}, address), " ", facts));
	element.title = `process ${process}`;
	const show = ({ own, alive, sameSettings, version }) => {
		const life = own ? "this relay" : alive ? "alive" : "does not answer";
		say(facts, [life, `version ${version}`, sameSettings ? "" : "other settings"].filter(Boolean).join(" · "));
	};
	return { element, show };
}

/** A relay that is alone has no list. */
async function loadRelays() {
	const { relays: all } = await relay.get("relays");
	$("relays").hidden = all.length === 0;
	relays.show(all, ({ process }) => process);
}

/* Rooms */

function roomEntry(overview) {
	const name = make("bdi", { className: "name" }, overview.room);
	const facts = make("span", { className: "hint" });
	const open = make("button", { type: "button", className: "row" }, name, " ", facts);
	open.onclick = deed(() => openRoom(overview.room));
	const element = make("li", {}, open);
	element.dataset.room = overview.room;
	return { element, show: (now) => say(facts, factsOf(now)) };
}

function showRooms(page) {
	roomsNext = page.next;
	rooms.show(page.rooms, (overview) => overview.room);
	$("no-rooms").hidden = page.rooms.length > 0;
	turnable("rooms", $("rooms-title"), Boolean(roomsAfter), roomsNext !== undefined);
	markOpen();
}

async function loadRooms() {
	const after = roomsAfter;
	const page = await relay.get(`rooms?after=${encodeURIComponent(after)}`);
	if (after === roomsAfter) showRooms(page);
}

async function openRoom(name) {
	await room.open(name);
	markOpen();
}

function markOpen() {
	for (const { dataset, firstElementChild } of $("room-list").children) {
		if (dataset.room === room.name) firstElementChild.setAttribute("aria-current", "true");
		else firstElementChild.removeAttribute("aria-current");
	}
}

$("rooms-next").onclick = deed(() => {
	roomsAfter = roomsNext;
	return loadRooms();
});
$("rooms-first").onclick = deed(() => {
	roomsAfter = "";
	return loadRooms();
});

$("find-form").onsubmit = (event) => {
	event.preventDefault();
	find();
};
const find = deed(async () => {
	await openRoom($("find").value);
	$("find").value = "";
});

$("make-form").onsubmit = (event) => {
	event.preventDefault();
	makeRoom();
};
const makeRoom = deed(async () => {
	const wanted = {
		room: $("make-name").value,
		expiresIn: 60 * Number($("make-minutes").value),
		capacity: Number($("make-capacity").value) || null,
		password: $("make-password").value || null,
		locked: $("make-locked").checked,
	};
	const made = await relay.post("rooms", wanted);
	$("make-form").reset();
	await openRoom(made.room);
});

/* Connections */

function connectionEntry({ connection }) {
	const number = make("b", {}, `#${connection}`);
	const where = make("span", {});
	const facts = make("span", { className: "hint" });
	const element = make("li", {}, make("span", { className: "who" }, number, " ", where, " ", facts));
	let shown;
	const show = ({ address = "a Unix socket", wire, room: name, id, seconds }) => {
		say(facts, [address, wire, duration(seconds)].filter(Boolean).join(" · "));
		const key = JSON.stringify([name, id]);
		if (key === shown) return;
		shown = key;
		if (name === undefined) return where.replaceChildren("in no room");
		const open = button("Open the room", name, "link", deed(() => openRoom(name)));
		open.replaceChildren(make("bdi", {}, name));
		return where.replaceChildren("in ", open, " as ", make("code", {}, id));
	};
	return { element, show };
}

async function loadConnections() {
	const after = connectionsAfter;
	const page = await relay.get(`connections?after=${after}`);
	if (after !== connectionsAfter) return;
	connectionsNext = page.next;
	connections.show(page.connections, ({ connection }) => connection);
	$("no-connections").hidden = page.connections.length > 0;
	turnable("connections", connectionsHeading, after > 0, page.next !== undefined);
}

$("connections-open").ontoggle = deed(() => $("connections-open").open && loadConnections());
$("connections-next").onclick = deed(() => {
	connectionsAfter = connectionsNext;
	return loadConnections();
});
$("connections-first").onclick = deed(() => {
	connectionsAfter = 0;
	return loadConnections();
});

/** Shows by which buttons the pages of a list can be turned. */
function turnable(list, heading, hasFirst, hasNext) {
	const [first, next] = [$(`${list}-first`), $(`${list}-next`)];
	const focused = document.activeElement;
	first.hidden = !hasFirst;
	next.hidden = !hasNext;
	if ((focused === first || focused === next) && focused.hidden) (hasFirst ? first : hasNext ? next : heading).focus();
}

watch();
