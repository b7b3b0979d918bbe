/** The room that is open: who is there and who waits, and what an operator may do about it. */

import { $, List, ask, button, complain, deed, duration, make, say } from "./dom.js";
import { inRoom } from "./relay.js";

/** What is said of a room in a line. */
export function factsOf({ members, capacity, knocks, locked, password, expiresIn }) {
	const facts = [`${members} of ${capacity} members`];
	if (knocks) facts.push(`${knocks} waiting`);
	if (locked) facts.push("locked");
	if (password) facts.push("password");
	if (expiresIn !== undefined) facts.push(`made ahead of time, stays for ${duration(expiresIn)}`);
	return facts.join(" · ");
}

export class Room {
	#relay;
	#onClose;
	/** Its name; null if none is open. */
	#name = null;
	#isLocked = false;
	#host;
	#members = new List($("members"), $("members-title"), (peer) => this.#member(peer));
	#waiting = new List($("waiting"), $("waiting-title"), (peer) => this.#knocker(peer));

	/** `onClose(name)` is called when no room is open any more. */
	constructor(relay, onClose) {
		this.#relay = relay;
		this.#onClose = onClose;
		$("room-back").onclick = () => this.#leave();
		$("room-lock").onclick = deed(() => this.#act("lock", { locked: !this.#isLocked }));
		$("room-close").onclick = deed(() => this.#closeIt());
		$("message-form").onsubmit = (event) => {
			event.preventDefault();
			this.#send();
		};
	}

	get name() {
		return this.#name;
	}

	/** Opens a room, if it is there. */
	async open(name) {
		const room = await this.#relay.get(inRoom(name));
		this.#name = room.room;
		$("message").value = "";
		$("message-sent").textContent = "";
		this.#show(room);
		$("room").hidden = false;
		document.body.dataset.open = "";
		$("room-title").focus();
	}

	/** Shows it as it is now. */
	async refresh() {
		const name = this.#name;
		if (name === null) return;
		try {
			const room = await this.#relay.get(inRoom(name));
			// Another one may be open by now.
			if (name === this.#name) this.#show(room);
		} catch (error) {
			if (error.status !== 404 || name !== this.#name) return;
			this.#leave();
			complain("the room that was open is gone");
		}
	}

	#show(room) {
		this.#isLocked = room.locked;
		this.#host = room.host;
		say($("room-name"), room.room);
		say($("room-facts"), factsOf(room));
		say($("room-lock"), room.locked ? "Unlock" : "Lock");
		$("nobody-there").hidden = room.peers.length > 0;
		$("nobody-waits").hidden = room.waiting.length > 0;
		// Somebody else may have the id a moment later.
		const keyOf = ({ id, connection }) => `${id} ${connection}`;
		this.#members.show(room.peers, keyOf);
		this.#waiting.show(room.waiting, keyOf);
	}

	#member(peer) {
		const { id } = peer;
		const remove = button("Remove", peer.name ?? id, "plain", deed(() => this.#remove(peer)));
		return person(peer, [remove], ({ verified, away }) => [id === this.#host && "host", verified && "verified", away && "away"]);
	}

	#knocker(peer) {
		const { id, name = id } = peer;
		const act = (word, action) => button(word, name, action === "admit" ? "primary" : "plain", deed(() => this.#act(action, { to: id })));
		return person(peer, [act("Admit", "admit"), act("Deny", "deny")], ({ verified }) => [verified && "verified"]);
	}

	async #act(action, body) {
		await this.#relay.post(inRoom(this.#name, action), body);
		await this.refresh();
	}

	async #remove({ id, name = id, verified }) {
		const title = ["Remove ", make("bdi", {}, name), "?"];
		const after = verified ? "They are kept out until the room is empty." : "They may come back: lock the room to decide who comes in.";
		const text = `Their connection ends. ${after}`;
		const word = await ask({ title, text, yes: "Remove", hasWord: true });
		if (word !== null) await this.#act("kick", { to: id, message: word || null });
	}

	async #closeIt() {
		const name = this.#name;
		const title = ["Close ", make("bdi", {}, name), "?"];
		const text = "All who are there or wait are removed, and there is no such room any more.";
		const word = await ask({ title, text, yes: "Close the room", hasWord: true });
		if (word === null) return;
		await this.#relay.post(inRoom(name, "close"), { message: word || null });
		if (name === this.#name) this.#leave();
	}

	#send = deed(async () => {
		const { missed } = await this.#relay.post(inRoom(this.#name, "message"), { data: $("message").value });
		$("message").value = "";
		const sent = new Date().toLocaleTimeString("en-GB");
		say($("message-sent"), missed.length ? `Sent at ${sent}. It did not reach ${missed.join(", ")}.` : `Sent at ${sent}.`);
	});

	#leave() {
		const name = this.#name;
		this.#name = null;
		$("room").hidden = true;
		delete document.body.dataset.open;
		this.#onClose(name);
	}
}

/** An entry of one who is there or waits, of whom `words(peer)` are said. */
function person(peer, buttons, words) {
	const name = make("bdi", { className: "name" });
	const id = make("code", {}, peer.id);
	const state = make("span", { className: "hint" });
	const who = make("span", { className: "who" }, name, " ", id, " ", state);
	const element = make("li", {}, who, make("span", { className: "actions" }, ...buttons));
	element.dataset.id = peer.id;
	const show = (now) => {
		say(name, now.name ?? "without a name");
		say(state, words(now).filter(Boolean).map((word) => `· ${word}`).join(" "));
	};
	return { element, show };
}
