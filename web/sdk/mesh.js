/** Who is in the call, and what they say to each other. What Call is made of; not exported. */

import { Links } from "./links.js";
import { proofOf, randomToken } from "./proof.js";

/** After this a newcomer counts as a page that says no hello. */
const HELLO_MS = 400;
/** The same while someone is missing, who may be the newcomer. */
const HELLO_WHILE_MISSING_MS = 2_500;
const GOODBYE_MS = 5_000;
/** How long a lost peer without media keeps its place here. */
const GRACE_MS = 15_000;
/** The same while the relay is away, which could tell. */
const GRACE_WITHOUT_RELAY_MS = 60_000;
const MOST_PROOFS = 32;
const LONGEST_TOKEN = 99;
const MOST_NUMBERS = 512;
const LONGEST_STATE = 4_000;
const LINGER_MS = 300;

const SIGNALS = ["offer", "answer", "offer_ice", "answer_ice"];

export class Member {
	id;
	key;
	name;
	present = true;
	state = {};
	tracks = new Map();
	link = null;
	linkedAt = 0;
	/** We have made the first offer, and heard no answer. */
	offers = false;
	lastSeen = Date.now();
	line = null;
	token = null;
	theirToken = null;
	pending = [];
	numbers = new Set();

	constructor(key, { id, name, verified, away, wasThere }) {
		Object.assign(this, { key, id, name, verified, away, wasThere });
	}

	get isConnected() {
		return this.link?.state === "connected";
	}

	get isDirect() {
		return this.isConnected && Boolean(this.line?.live);
	}
}

export class Mesh {
	members = new Map();
	links;
	#byId = new Map();
	#channel;
	#notify;
	#greeting;
	/** Every id of ours: after a lost connection our ghost stays in the room for a while. */
	#ours = new Set();
	#strangers = new Map();
	#tokens = new Map();
	#nextKey = 1;
	#sent = 0;
	#tag = randomToken().slice(0, 12);
	#sweeper;

	/**
	 * @param {(event: string, detail: object) => void} notify hears what Call tells of its members, and shared {entries}
	 * @param {() => object} greeting what a new peer is told of us
	 */
	constructor(channel, notify, greeting, linkOptions) {
		this.#channel = channel;
		this.#notify = notify;
		this.#greeting = greeting;
		const heard = (member, message) => this.#heard(member, message);
		const repeat = (member) => this.#repeat(member);
		this.links = new Links(this.members, channel, { notify, greeting, linkOptions, heard, repeat });
		channel.on("joined", (event) => this.#joined(event));
		channel.on("resumed", (event) => this.#resumed(event));
		channel.on("ice_servers", ({ iceServers }) => this.links.setIceServers(iceServers));
		channel.on("peer_joined", (peer) => this.#met(peer, false));
		channel.on("peer_left", ({ id, reason }) => this.#left(id, reason));
		channel.on("peer_away", ({ id }) => this.#setAway(id, true));
		channel.on("peer_back", ({ id }) => this.#setAway(id, false));
		for (const type of SIGNALS) channel.on(type, (message) => this.#signal(message));
		channel.on("message", ({ from, data }) => this.#message(from, data));
		this.#sweeper = setInterval(() => this.#sweep(), 1_000);
	}

	get others() {
		return [...this.members.values()];
	}

	/** By the data channel or by the relay, never by both. @returns {Member[]} who will not get it */
	tell(data, to) {
		const n = `${this.#tag}.${(this.#sent += 1)}`;
		const tellOne = (member) =>
			(member.isDirect && member.line.send({ type: "message", n, data })) || this.#tellByRelay(member.id, n, data);
		const missed = (to ? [to] : this.others).filter((member) => !tellOne(member));
		if (!to) for (const id of this.#strangers.keys()) this.#tellByRelay(id, n, data);
		return missed;
	}

	announce(message, byRelay) {
		for (const member of this.members.values()) {
			if (member.isDirect && member.line.send(message)) continue;
			if (member.id !== null && byRelay) this.#channel.send("message", { data: byRelay }, member.id);
		}
	}

	leave(goodbye = true) {
		if (goodbye) this.announce({ type: "bye" });
		this.#forgetStrangers();
		const links = this.others.map(({ link }) => link);
		this.members.clear();
		this.#byId.clear();
		setTimeout(() => links.forEach((link) => link?.close()), LINGER_MS);
		this.#ours.clear();
		this.#tokens.clear();
		this.#tag = randomToken().slice(0, 12);
	}

	close() {
		clearInterval(this.#sweeper);
		this.leave();
	}

	/** Without a place in the room, by a refusal: nobody is there for the relay. */
	lose() {
		this.#forgetStrangers();
		for (const member of this.others) this.#detach(member);
	}

	#joined({ id, peers, iceServers, candidatePolicy = "all" }) {
		this.#ours.add(id);
		this.links.setIceServers(iceServers, candidatePolicy);
		this.#tokens.clear();
		this.#forgetStrangers();
		for (const member of this.others) this.#detach(member);
		for (const peer of peers) this.#met(peer, true);
	}

	#resumed({ peers, iceServers, candidatePolicy = "all" }) {
		this.links.setIceServers(iceServers, candidatePolicy);
		for (const { id, away } of peers ?? []) this.#setAway(id, Boolean(away));
		for (const member of this.members.values()) {
			member.link?.resume();
			this.#repeat(member);
		}
	}

	/** Somebody in the room who may prove to be known. Our own ghost is nobody. */
	#met({ id, name = "", verified = false, away = false }, wasThere) {
		if (typeof id !== "string" || this.#ours.has(id)) return;
		const namesake = this.#byId.get(id);
		if (namesake) this.#detach(namesake);
		const missing = this.others.some(({ present }) => !present);
		this.#addStranger(id, { name: String(name), verified: verified === true, away, wasThere }, missing ? HELLO_WHILE_MISSING_MS : HELLO_MS);
		this.#hello(id);
	}

	#addStranger(id, who, waitMs) {
		this.#forgetStranger(id);
		this.#strangers.set(id, { ...who, timer: setTimeout(() => this.#admit(id), waitMs) });
	}

	#hello(to) {
		const token = this.#tokens.get(to) ?? randomToken();
		this.#tokens.set(to, token);
		const proofs = this.others
			.filter(({ theirToken }) => theirToken)
			.slice(0, MOST_PROOFS)
			.map((member) => proofOf(secretOf(member), this.#channel.id, to));
		this.#channel.send("message", { data: { kind: "hello", token, proofs, media: this.#greeting().state } }, to);
	}

	#heardHello(from, { token, proofs, media }) {
		const proven = this.#whoProved(from, proofs);
		if (proven && proven.id !== from) this.#rename(proven, from);
		const member = this.#admit(from);
		if (!member) return;
		// No proof: the first contact, or they have forgotten us.
		if (!proven && typeof token === "string") {
			member.token = this.#tokens.get(from) ?? member.token;
			member.theirToken = token.slice(0, LONGEST_TOKEN);
		}
		if (!member.isDirect) this.#setState(member, media);
	}

	#whoProved(from, proofs) {
		if (!Array.isArray(proofs)) return null;
		const shown = new Set(proofs.slice(0, MOST_PROOFS));
		const fits = (member) => member.theirToken && shown.has(proofOf(secretOf(member), from, this.#channel.id));
		return this.others.find(fits) ?? null;
	}

	/** The relay's `id` is somebody whom we know. */
	#rename(member, id) {
		const stranger = this.#forgetStranger(id);
		const placeholder = this.#byId.get(id);
		if (placeholder) this.#remove(placeholder, "renamed");
		if (member.id !== null) this.#byId.delete(member.id);
		const { name, verified, away } = stranger ?? placeholder ?? member;
		Object.assign(member, { id, name, verified, away, present: true });
		this.#byId.set(id, member);
		this.#notify("member", { member });
		member.link?.resume();
		this.#repeat(member);
	}

	/** The relay has this member no more, or under another id. One who never was connected is nobody. */
	#detach(member) {
		if (member.id !== null) this.#byId.delete(member.id);
		Object.assign(member, { id: null, present: false, away: false });
		if (!member.link?.wasConnected) return this.#remove(member, "lost");
		this.#notify("member", { member });
	}

	#admit(id) {
		const stranger = this.#forgetStranger(id);
		if (!stranger) return this.#byId.get(id);
		const member = new Member(this.#nextKey++, { id, ...stranger });
		member.token = this.#tokens.get(id) ?? null;
		this.members.set(member.key, member);
		this.#byId.set(id, member);
		this.links.connectSome();
		this.#notify("member", { member, fresh: true });
		return member;
	}

	/** What the data channel may not have carried goes by the relay; they know its number if it came after all. */
	#repeat(member) {
		if (!member.isDirect) member.line?.repeat((n, data) => this.#tellByRelay(member.id, n, data));
	}

	#tellByRelay(id, n, data) {
		if (id === null) return false;
		const isObject = data !== null && typeof data === "object" && !Array.isArray(data);
		return this.#channel.send("message", { data: isObject ? { ...data, n } : { kind: "data", n, data } }, id);
	}

	#signal(message) {
		const member = this.#admit(message.from);
		if (member) this.links.receive(member, message);
	}

	/** By the relay. Others may say anything: take what fits. */
	#message(from, data) {
		if (from === "@server") return this.#notify("server", { data });
		if (data?.kind === "hello") return this.#heardHello(from, data);
		const member = this.#admit(from);
		if (!member) return;
		if (data?.kind === "media") return member.isDirect || this.#setState(member, data.media);
		const { n, ...rest } = Object(data);
		if (typeof n !== "string") return this.#notify("message", { member, data });
		this.#told(member, n, data.kind === "data" && "data" in rest ? rest.data : rest);
	}

	#heard(member, message) {
		if (!this.members.has(member.key)) return;
		const { type, state, shared, entries, n, data } = message;
		if (type === "hi" || type === "state") this.#setState(member, state);
		if (type === "hi" || type === "shared") this.#notify("shared", { member, entries: shared ?? entries });
		if (type === "message" && typeof n === "string") this.#told(member, n, data);
		if (type === "closed") this.#repeat(member);
		if (type === "bye") this.#saidGoodbye(member);
	}

	#told(member, n, data) {
		if (member.numbers.has(n)) return;
		member.numbers.add(n);
		if (member.numbers.size > MOST_NUMBERS) member.numbers.delete(member.numbers.values().next().value);
		this.#notify("message", { member, data });
	}

	/** If the relay goes on having it, it is shown again: whoever is in the room is a member. */
	#saidGoodbye(member) {
		const { id, name, verified, away, wasThere } = member;
		this.#remove(member, "left");
		if (id !== null) this.#addStranger(id, { name, verified, away, wasThere }, GOODBYE_MS);
	}

	#left(id, reason) {
		this.#forgetStranger(id);
		this.#tokens.delete(id);
		const member = this.#byId.get(id);
		if (!member) return;
		if (/left|kicked|displaced/.test(reason)) this.#remove(member, reason);
		else this.#detach(member);
	}

	#setAway(id, away) {
		const who = this.#strangers.get(id) ?? this.#byId.get(id);
		if (!who || who.away === away) return;
		who.away = away;
		if (!(who instanceof Member)) return;
		if (!away) who.link?.resume();
		this.#notify("member", { member: who });
	}

	#setState(member, state) {
		if (state === null || typeof state !== "object" || JSON.stringify(state).length > LONGEST_STATE) return;
		member.state = state;
		this.#notify("member", { member });
	}

	/** Removes those whom neither relay nor media has. While we are away ourselves, only if others are connected. */
	#sweep() {
		const withoutRelay = this.#channel.state !== "joined";
		const online = this.others.some(({ isConnected }) => isConnected);
		const grace = withoutRelay ? GRACE_WITHOUT_RELAY_MS : GRACE_MS;
		for (const member of this.others) {
			const here = (withoutRelay && !online) || (!withoutRelay && member.present) || member.isConnected;
			if (here) member.lastSeen = Date.now();
			else if (Date.now() - member.lastSeen > grace) this.#remove(member, "lost");
		}
		this.links.connectSome();
	}

	#remove(member, reason) {
		this.members.delete(member.key);
		if (this.#byId.get(member.id) === member) this.#byId.delete(member.id);
		member.link?.close();
		this.#notify("gone", { member, reason });
		this.links.tune();
		this.links.connectSome();
	}

	#forgetStrangers() {
		for (const id of this.#strangers.keys()) this.#forgetStranger(id);
	}

	#forgetStranger(id) {
		const stranger = this.#strangers.get(id);
		clearTimeout(stranger?.timer);
		this.#strangers.delete(id);
		return stranger;
	}
}

function secretOf({ token, theirToken }) {
	return [token, theirToken].sort().join(" ");
}
