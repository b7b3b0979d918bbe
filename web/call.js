/**
 * A call of many: who is in the room, and one PeerLink to each of them. No DOM.
 *
 * - The newcomer is polite and offers to each peer in the room. If it does not (a page that only answers), they do.
 * - The relay makes a new id at each join, but connections outlive the relay. So peers that meet say `hello` with a
 *   token; the two tokens are the pair's secret; a peer with a new id proves it (proof.js) and keeps connection and tile.
 * - Whoever leaves is gone at once; whoever is lost stays while the media flows, and a little longer.
 */
"use strict";

/** After this a newcomer counts as a page that says no hello. */
const HELLO_MS = 400;
/** The same while someone is missing, who may be the newcomer. */
const HELLO_WHILE_MISSING_MS = 2_500;
/** How long the others wait for the newcomer's offer. */
const OFFER_MS = 3_000;
/** How long a lost peer without media keeps the tile. */
const GRACE_MS = 15_000;
const MOST_PROOFS = 32;

/** Video's bits a second, by the number of others. */
const MOST_BITS = [[1, 2_500_000], [3, 900_000], [5, 450_000], [Infinity, 220_000]];
/** Letters on a shared screen must stay sharp. */
const SCREEN_BITS = 1_500_000;

class Call {
	/** By the relay's current id; a member's `key` stays the same when the id changes. */
	members = new Map();
	#channel;
	#notify;
	#iceServers = [];
	/** Every id of ours: after a lost connection our ghost stays in the room for a while. */
	#ours = new Set();
	#strangers = new Map();
	#tokens = new Map();
	#tracks = { audio: null, video: null };
	#media = { audio: false, video: "off" };
	#maxBitrate = 0;
	#nextKey = 1;
	#sweeper = 0;

	/**
	 * @param {SignalingChannel} channel joined and left by the caller
	 * @param {(event: string, detail: object) => void} notify hears: member {member}, gone {member, reason},
	 *   stream {member}, chat {member, text}, problem {member, error}
	 */
	constructor(channel, notify) {
		this.#channel = channel;
		this.#notify = notify;
		channel.on("joined", (event) => this.#joined(event));
		channel.on("peer_joined", (peer) => this.#met(peer, false));
		channel.on("peer_left", ({ id, reason }) => this.#left(id, reason));
		for (const type of ["offer", "answer", "offer_ice", "answer_ice"]) {
			channel.on(type, (message) => this.#signal(message));
		}
		channel.on("message", ({ from, data }) => this.#message(from, data));
		this.#sweeper = setInterval(() => this.#sweep(), 1_000);
	}

	/** In the order in which they came. */
	get others() {
		return [...this.members.values()].sort((a, b) => a.key - b.key);
	}

	/** Whether anybody's media still flows. */
	get up() {
		return this.others.some(({ link }) => link.state === "connected");
	}

	get hasTurn() {
		return this.#iceServers.some(({ urls }) => [urls].flat().some((url) => /^turns?:/.test(url)));
	}

	get onlyLocal() {
		return this.#iceServers.length === 0;
	}

	/** Sends these tracks to everyone, and tells them what they are. */
	send(tracks, media) {
		const changed = media.audio !== this.#media.audio || media.video !== this.#media.video;
		this.#media = media;
		for (const kind of ["audio", "video"]) {
			if (tracks[kind] === this.#tracks[kind]) continue;
			for (const { link } of this.members.values()) link.setTrack(kind, tracks[kind]);
		}
		this.#tracks = tracks;
		this.#tune();
		const heard = this.members.size + this.#strangers.size > 0;
		if (changed && heard) this.#channel.send("message", { data: { kind: "media", media } });
	}

	/** @returns {boolean} whether it was sent */
	chat(text) {
		return this.#channel.send("message", { data: { kind: "chat", text } });
	}

	close() {
		clearInterval(this.#sweeper);
		this.#forgetStrangers();
		for (const member of this.others) this.#remove(member, "hangup");
	}

	#joined({ id, peers, iceServers }) {
		this.#ours.add(id);
		this.#iceServers = iceServers;
		this.#tokens.clear();
		this.#forgetStrangers();
		const here = new Set(peers.map((peer) => peer.id));
		for (const member of this.members.values()) {
			member.link.setIceServers(iceServers); // their passwords may have run out
			this.#setPresent(member, here.has(member.id));
		}
		for (const peer of peers) this.#met(peer, true);
	}

	/** Somebody in the room: known, our own ghost, or a stranger who may prove known. */
	#met({ id, name = "" }, wasThere) {
		if (typeof id !== "string" || this.#ours.has(id)) return;
		this.#hello(id);
		const known = this.members.get(id);
		if (known) {
			this.#setPresent(known, true);
			known.link.resume();
			return;
		}
		const wait = this.others.some(({ present }) => !present) ? HELLO_WHILE_MISSING_MS : HELLO_MS;
		const timer = setTimeout(() => this.#admit(id), wait);
		this.#strangers.set(id, { name: String(name), wasThere, timer });
	}

	#hello(to) {
		const token = this.members.get(to)?.token ?? this.#tokens.get(to) ?? randomToken();
		this.#tokens.set(to, token);
		const proofs = this.others
			.filter(({ theirToken }) => theirToken)
			.map((member) => proofOf(secretOf(member), this.#channel.id, to));
		this.#channel.send("message", { data: { kind: "hello", token, proofs, media: this.#media } }, to);
	}

	#heardHello(from, { token, proofs, media }) {
		const proven = this.#whoProved(from, proofs);
		if (proven && proven.id !== from) this.#rename(proven, from);
		const member = this.#admit(from);
		if (!member) return;
		// No proof: the first contact, or they have forgotten us.
		if (!proven && typeof token === "string") member.theirToken = token.slice(0, 99);
		this.#setMedia(member, media);
	}

	#whoProved(from, proofs) {
		if (!Array.isArray(proofs)) return null;
		const shown = new Set(proofs.slice(0, MOST_PROOFS));
		const fits = (member) => member.theirToken && shown.has(proofOf(secretOf(member), from, this.#channel.id));
		return this.others.find(fits) ?? null;
	}

	#rename(member, id) {
		const placeholder = this.members.get(id);
		if (placeholder) this.#remove(placeholder, "renamed");
		this.#forgetStranger(id);
		this.members.delete(member.id);
		member.id = id;
		this.members.set(id, member);
		this.#setPresent(member, true);
		member.link.resume();
	}

	/** The member `id`. A stranger becomes one, and the newcomer of the two makes the first offer. */
	#admit(id) {
		const stranger = this.#forgetStranger(id);
		if (!stranger) return this.members.get(id);
		const member = {
			id,
			key: this.#nextKey++,
			name: stranger.name,
			present: true, // whether the relay has them
			lastSeen: Date.now(),
			media: {}, // what they say: {audio: boolean, video: "camera"|"screen"|"off"}
			token: this.#tokens.get(id),
			theirToken: null,
			link: null,
		};
		this.members.set(id, member);
		this.#connect(member, stranger.wasThere);
		if (stranger.wasThere) member.link.start();
		else setTimeout(() => this.members.get(member.id) === member && member.link.start(), OFFER_MS);
		this.#notify("member", { member, fresh: true, wasThere: stranger.wasThere });
		return member;
	}

	#connect(member, polite) {
		const link = new PeerLink({
			polite,
			iceServers: this.#iceServers,
			send: (type, fields) => this.#channel.send(type, fields, member.id),
		});
		member.link?.close();
		member.link = link;
		member.linkedAt = Date.now();
		this.#tune();
		link.tune({ maxBitrate: this.#maxBitrate });
		for (const kind of ["audio", "video"]) link.setTrack(kind, this.#tracks[kind]);
		link.on("stream", () => this.#notify("stream", { member }));
		link.on("problem", (error) => this.#notify("problem", { member, error }));
		link.on("state", (state) => {
			if (state === "disconnected") this.#channel.probe(); // perhaps it is our own network
			this.#notify("member", { member });
		});
	}

	#signal(message) {
		const member = this.#admit(message.from);
		if (!member) return;
		const { link } = member;
		const rebuilt = message.session && link.remoteSession && message.session !== link.remoteSession;
		if (rebuilt) {
			this.#connect(member, link.polite);
			this.#notify("stream", { member });
			if (message.type === "answer") return member.link.start(); // it answered an offer that fits it no more
		}
		member.link.receive(message);
	}

	/** Others may say anything: take what fits. */
	#message(from, data) {
		if (data?.kind === "hello") return this.#heardHello(from, data);
		const member = this.#admit(from);
		if (!member) return;
		if (data?.kind === "media") this.#setMedia(member, data.media);
		if (data?.kind === "chat" && typeof data.text === "string") this.#notify("chat", { member, text: data.text });
	}

	#left(id, reason) {
		this.#forgetStranger(id);
		this.#tokens.delete(id);
		const member = this.members.get(id);
		if (!member) return;
		if (reason === "left") this.#remove(member, reason);
		else this.#setPresent(member, false);
	}

	#setPresent(member, present) {
		member.present = present;
		this.#notify("member", { member });
	}

	#setMedia(member, media) {
		if (!media) return;
		member.media = {
			audio: media.audio === true,
			video: ["camera", "screen"].includes(media.video) ? media.video : "off",
		};
		this.#notify("member", { member });
	}

	/** Removes those whom neither relay nor media has; never while we are away ourselves. */
	#sweep() {
		const away = this.#channel.state !== "joined";
		for (const member of this.others) {
			const here = away || member.present || member.link.state === "connected";
			if (here) member.lastSeen = Date.now();
			else if (Date.now() - member.lastSeen > GRACE_MS) this.#remove(member, "lost");
		}
	}

	#remove(member, reason) {
		this.members.delete(member.id);
		member.link.close();
		this.#notify("gone", { member, reason });
		this.#tune();
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

	#tune() {
		const camera = MOST_BITS.find(([others]) => this.members.size <= others)[1];
		const maxBitrate = this.#media.video === "screen" ? SCREEN_BITS : camera;
		if (maxBitrate === this.#maxBitrate) return; // setting it anew upsets the encoder
		this.#maxBitrate = maxBitrate;
		for (const { link } of this.members.values()) link.tune({ maxBitrate });
	}
}

function secretOf({ token, theirToken }) {
	return [token, theirToken].sort().join(" ");
}
