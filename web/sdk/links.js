/** One PeerLink to each member, with its data channel: a few at a time. */

import { LABEL, PROTOCOL, PeerLine } from "./line.js";
import { PeerLink } from "./peer.js";

/** After this we offer to a newcomer who does not; later to one of our own kind, who will: offers that cross cost much. */
const OFFER_MS = 3_000;
const OFFER_AFTER_HELLO_MS = 10_000;
/** Connections at once: each costs a decoder, and beyond this browsers fail. */
const MOST_LINKS = 32;
const MOST_STARTING = 6;
const STARTING_MS = 3_000;
const MOST_PENDING = 60;

/** Video's bits a second, by the number of others. */
const MOST_BITS = [[1, 2_500_000], [3, 900_000], [5, 450_000], [Infinity, 220_000]];
const SCREEN_BITS = 1_500_000;

export class Links {
	iceServers = [];
	candidatePolicy;
	#transports;
	#members;
	#channel;
	#hooks;
	#tracks = new Map([["audio", null], ["video", null]]);
	#maxBitrate = 0;

	/** @param {object} hooks what the mesh was given; `heard(member, message)` by the data channel; `repeat(member)` when that may be broken */
	constructor(members, channel, hooks) {
		this.#members = members;
		this.#channel = channel;
		this.#hooks = hooks;
	}

	get #linked() {
		return [...this.#members.values()].filter(({ link }) => link);
	}

	setTrack(name, track) {
		if (this.#tracks.get(name) === track) return;
		this.#tracks.set(name, track);
		for (const { link } of this.#linked) link.setTrack(name, track);
		this.tune();
	}

	setIceServers(iceServers = this.iceServers, candidatePolicy = this.candidatePolicy) {
		this.candidatePolicy = candidatePolicy;
		this.iceServers = candidatePolicy === "lan" ? [] : iceServers;
		this.#transports = { iceTransportPolicy: candidatePolicy === "relay" ? "relay" : "all" };
		for (const { link } of this.#linked) link.setIceServers(this.iceServers, this.#transports);
	}

	connectSome() {
		const linked = this.#linked;
		const isStarting = ({ link, linkedAt }) => !link.wasConnected && Date.now() - linkedAt < STARTING_MS;
		let slots = Math.min(MOST_STARTING - linked.filter(isStarting).length, MOST_LINKS - linked.length);
		for (const member of this.#members.values()) {
			if (slots <= 0) return;
			if (member.link || member.id === null) continue;
			this.#connect(member);
			slots -= 1;
		}
	}

	#connect(member) {
		this.#link(member, member.wasThere);
		const offers = member.pending.splice(0);
		for (const message of offers) member.link.receive(message);
		if (member.wasThere) this.#start(member);
		const { link } = member;
		const isSilent = () => this.#members.has(member.key) && member.link === link && !link.remoteSession && !link.pc.remoteDescription;
		const offer = () => isSilent() && this.#start(member);
		if (!member.wasThere) setTimeout(() => (member.theirToken ? setTimeout(offer, OFFER_AFTER_HELLO_MS) : offer()), OFFER_MS);
		this.#hooks.notify("member", { member });
	}

	#start(member) {
		member.offers = true;
		if (!member.line.hasChannel) member.line.attach(member.link.pc.createDataChannel(LABEL, { protocol: PROTOCOL }));
		member.link.start();
	}

	#link(member, polite) {
		const { notify, greeting, linkOptions, heard } = this.#hooks;
		const { configuration, ...options } = linkOptions;
		const link = new PeerLink({
			...options,
			configuration: { ...configuration, ...this.#transports },
			polite,
			iceServers: this.iceServers,
			send: (type, fields) => member.id !== null && this.#channel.send(type, fields, member.id),
		});
		member.link?.close();
		member.link = link;
		member.linkedAt = Date.now();
		member.offers = false;
		member.tracks.clear();
		const line = new PeerLine(greeting, (message) => member.line === line && heard(member, message));
		member.line = line;
		this.tune();
		link.tune({ maxBitrate: this.#maxBitrate });
		for (const [name, track] of this.#tracks) link.setTrack(name, track);
		link.on("stream", () => notify("stream", { member }));
		link.on("track", ({ name, track }) => {
			member.tracks.set(name, track);
			notify("track", { member, name, track });
		});
		link.on("channel", (channel) => {
			if (channel.label === LABEL && channel.protocol === PROTOCOL) line.attach(channel);
			else notify("channel", { member, channel });
		});
		link.on("problem", (error) => notify("problem", { member, error }));
		link.on("state", (state) => this.#changed(member, state));
	}

	#changed(member, state) {
		if (state === "disconnected") this.#channel.probe(); // perhaps it is our own network
		if (state !== "connected") this.#hooks.repeat(member);
		this.connectSome();
		this.#hooks.notify("member", { member });
	}

	receive(member, message) {
		if (!member.link) return this.#keepPending(member, message);
		const { link } = member;
		const rebuilt = message.session && link.remoteSession && message.session !== link.remoteSession;
		// Chromium cannot take back its first offer for one with other lines.
		const crossed = message.type === "offer" && link.polite && member.offers && !link.pc.remoteDescription;
		if (rebuilt || crossed) {
			this.#link(member, link.polite);
			this.#hooks.notify("stream", { member });
			if (message.type === "answer") return this.#start(member); // it answered an offer that fits it no more
		}
		if (message.type === "answer") member.offers = false;
		member.link.receive(message);
		if (crossed) member.link.start();
	}

	#keepPending(member, message) {
		if (message.type === "offer") member.pending = [];
		if (member.pending.length < MOST_PENDING) member.pending.push(message);
	}

	tune() {
		const others = this.#linked.length;
		const camera = MOST_BITS.find(([most]) => others <= most)[1];
		const maxBitrate = this.#tracks.get("video")?.contentHint === "detail" ? SCREEN_BITS : camera;
		if (maxBitrate === this.#maxBitrate) return; // setting it anew upsets the encoder
		this.#maxBitrate = maxBitrate;
		for (const { link } of this.#linked) link.tune({ maxBitrate });
	}
}
