/**
 * A call of many over the relay: a mesh of connections whose members outlive the relay. No DOM.
 *
 *   const call = new Call(); // by this page's own relay; or { url: "wss://relay.example/ws" }
 *   call.on("track", ({ member, track }) => ...);
 *   call.on("message", ({ member, data }) => ...);
 *   call.setTrack("video", cameraTrack);
 *   await call.join("blue-heron", { name: "Ana" });
 *   call.send({ text: "hello" });
 *
 * Whom the relay lets in becomes a member, with a connection of its own. If the relay goes away, the call goes on:
 * messages, state and goodbyes travel from peer to peer. When it is back, so are we, and everybody keeps their member.
 * If it then refuses us, the call goes on with those who are there: `refused` says why, and `rejoin` tries again.
 */

import { Mesh } from "./mesh.js";
import { SharedState } from "./shared.js";
import { SignalingChannel, SignalingError } from "./signaling.js";

/** After a restart the others need this long to be back before the room is locked again. */
const RELOCK_MS = 5_000;

export class Call {
	/** Our id in the room. @type {string|null} */
	id = null;
	/** Our name as the relay tells it to the others. */
	name = "";
	/** The host's id. @type {string|null} */
	host = null;
	/** Whether newcomers must be let in. */
	locked = false;
	hasPassword = false;
	/** Those who knock, for the host: by id, {id, name, verified}. */
	knocks = new Map();
	/** Why the relay does not have us back. @type {SignalingError|null} */
	refusal = null;
	/** The signaling below, for what is not here: `reconnect`, `probe`, its own events. @type {SignalingChannel} */
	channel;

	#mesh;
	#listeners = new Map();
	#shared = new SharedState();
	#state = {};
	#wanted = null;
	#entered = false;
	#knocking = false;
	#certificates;
	#options;
	#relockTimer = 0;
	#stopSignal = () => {};

	/**
	 * @param {{url?: string|URL, media?: boolean, RTCPeerConnection?: typeof RTCPeerConnection,
	 *   WebSocket?: typeof WebSocket}} [options] `url` is the relay's `/ws`, by default this page's; `media: false` is a
	 *   call of data alone; the classes are for Node, which lacks one or both
	 */
	constructor({ url, media = true, RTCPeerConnection = globalThis.RTCPeerConnection, WebSocket } = {}) {
		if (!RTCPeerConnection) throw new Error("no RTCPeerConnection: give a class");
		this.#options = { media, RTCPeerConnection };
		this.channel = new SignalingChannel(url, { WebSocket });
		const greeting = () => ({ state: this.#state, shared: this.#shared.entries });
		const linkOptions = () => ({ ...this.#options, configuration: this.#certificates ? { certificates: this.#certificates } : {} });
		this.#mesh = new Mesh(this.channel, (event, detail) => this.#heard(event, detail), greeting, linkOptions);
		this.#listen();
		this.#makeCertificate();
	}

	/** @returns {"closed"|"connecting"|"knocking"|"joined"|"reconnecting"|"refused"} */
	get state() {
		if (!this.#wanted) return "closed";
		if (this.refusal) return "refused";
		if (this.channel.state === "joined") return "joined";
		if (this.#knocking) return "knocking";
		return this.#entered ? "reconnecting" : "connecting";
	}

	/** The others, in the order in which they came. @returns {Member[]} */
	get members() {
		return this.#mesh.others;
	}

	get room() {
		return this.#wanted?.room ?? "";
	}

	get isHost() {
		return this.state === "joined" && this.host === this.id;
	}

	/** Whether we have been in the room since `join`. */
	get hasEntered() {
		return this.#entered;
	}

	get iceServers() {
		return this.#mesh.iceServers;
	}

	/**
	 * Listens to one kind of event.
	 *
	 * | event | fields | when |
	 * | --- | --- | --- |
	 * | `state` | `state` | ours changed |
	 * | `joined` | `again` | we are in the room |
	 * | `refused` | `error`, `removed` | the relay does not let us in or back; `removed`: the host removed us, and the call is over |
	 * | `member` | `member`, `fresh`? | somebody came (`fresh`) or changed |
	 * | `gone` | `member`, `reason` | somebody is gone: `left`, `kicked`, `lost` |
	 * | `track` | `member`, `name`, `track` | a track of theirs arrives |
	 * | `stream` | `member` | their sound and picture (`member.link.stream`) changed |
	 * | `message` | `member`, `data` | they sent something |
	 * | `channel` | `member`, `channel` | they opened a data channel |
	 * | `shared` | `key`, `value` | a shared value changed |
	 * | `room` | | `host`, `locked`, `hasPassword` or `knocks` changed |
	 * | `knock` | `id`, `name`, `verified`? | somebody asks the host to be let in |
	 * | `problem` | `error`, `member`? | something went wrong, and was survived |
	 * @returns {() => void} call it to stop listening
	 */
	on(type, listener) {
		if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
		this.#listeners.get(type).add(listener);
		return () => this.#listeners.get(type)?.delete(listener);
	}

	/**
	 * Enters a room; keeps trying while the relay cannot be reached. Where the host must let us in it takes minutes.
	 * @param {{name?: string, id?: string, token?: string, password?: string, signal?: AbortSignal}} [who]
	 * @returns {Promise<object>} the relay's `joined`
	 * @throws {SignalingError} what the relay refused; `closed` after `leave`
	 */
	join(room, { signal, ...who } = {}) {
		const joined = this.#join(room, who, signal);
		joined.catch(() => {}); // `refused` tells as well
		return joined;
	}

	async #join(room, who, signal) {
		signal?.throwIfAborted();
		this.leave();
		this.#wanted = { room, who };
		const abort = () => this.leave();
		signal?.addEventListener("abort", abort);
		this.#stopSignal = () => signal?.removeEventListener("abort", abort);
		try {
			return await this.channel.join(room, who);
		} catch (error) {
			throw signal?.aborted ? signal.reason : error;
		}
	}

	/** After a refusal: once more, with other words if need be (a password, a token). */
	rejoin(changes = {}) {
		if (!this.#wanted) throw new SignalingError({ code: "closed", message: "join first" });
		this.refusal = null;
		const { room, who } = this.#wanted;
		Object.assign(who, changes);
		const joined = this.channel.join(room, who);
		this.#emit("state", { state: this.state });
		return joined;
	}

	/** Hangs up: the others hear it at once, with or without the relay. */
	leave() {
		this.#stopSignal();
		clearTimeout(this.#relockTimer);
		const wasIn = this.#wanted !== null;
		this.#mesh.leave();
		this.channel.leave();
		this.#wanted = this.refusal = this.id = this.host = null;
		this.#entered = this.#knocking = this.locked = this.hasPassword = false;
		this.knocks.clear();
		this.#shared = new SharedState();
		if (wasIn) this.#emit("state", { state: "closed" });
	}

	/** Leaves, and forgets every listener. */
	close() {
		this.leave();
		this.#mesh.close();
		this.channel.close();
		this.#listeners.clear();
	}

	/**
	 * Sends a track to everybody from now on, or nothing. "audio" and "video" cost no negotiation; other names, such as
	 * "screen", get lines of their own.
	 */
	setTrack(name, track) {
		this.#mesh.setTrack(name, track);
	}

	/** What we show of ourselves to everybody, also to those who come later, such as {audio: false}. At most 4,000 characters as JSON. */
	setState(state) {
		if (JSON.stringify(state) === JSON.stringify(this.#state)) return;
		this.#state = state;
		this.#mesh.announce({ type: "state", state }, { kind: "media", media: state });
	}

	/**
	 * Sends what JSON can say to everybody, or to one member. In order as long as the connection stays; never twice.
	 * @returns {Member[]} those who will not get it: without the relay, and without a connection
	 */
	send(data, member) {
		return this.#mesh.tell(data, member);
	}

	/** A value that all in the call have in common. */
	shared(key) {
		return this.#shared.get(key);
	}

	/** Sets it for everybody, and for those who come later; undefined takes it away. @returns {boolean} false if it is too large */
	share(key, value) {
		const entry = this.#shared.set(key, value);
		if (!entry) return false;
		this.#mesh.announce({ type: "shared", entries: [entry] });
		this.#emit("shared", { key, value });
		return true;
	}

	/** A raw data channel to one member; they hear of it by `channel`. @returns {RTCDataChannel} */
	openChannel(member, label, options) {
		if (!member.link) throw new Error("not connected yet");
		return member.link.pc.createDataChannel(label, options);
	}

	/** What the host may do. For others the relay answers with an `error`, `not_host`. */
	lock(locked = true) {
		clearTimeout(this.#relockTimer);
		return this.channel.lock(locked);
	}
	admit = (id) => this.#decide(id, "admit");
	deny = (id) => this.#decide(id, "deny");
	kick = (member, message) => this.channel.kick(member.id, message);
	makeHost = (member) => this.channel.makeHost(member.id);

	#decide(id, what) {
		const sent = this.channel[what](id);
		if (sent && what === "deny") this.#forgetKnock(id);
		return sent;
	}

	#listen() {
		const on = (type, act) => this.channel.on(type, act);
		on("state", () => this.#emit("state", { state: this.state }));
		on("joined", (event) => this.#joined(event));
		on("resumed", (event) => this.#readRoom(event));
		on("waiting", () => {
			this.#knocking = true;
			this.#emit("state", { state: this.state });
		});
		on("host", ({ id }) => {
			this.host = id;
			this.#emit("room", {});
		});
		on("room", ({ locked }) => {
			this.locked = locked;
			if (!locked) this.knocks.clear();
			this.#emit("room", {});
		});
		on("knock", ({ id, name = "", verified }) => {
			this.knocks.set(id, { id, name: String(name), verified });
			this.#emit("knock", this.knocks.get(id));
			this.#emit("room", {});
		});
		on("knock_gone", ({ id }) => this.#forgetKnock(id));
		on("peer_joined", ({ id }) => this.#forgetKnock(id));
		on("refused", (error) => this.#refused(error));
		on("error", (error) => this.#emit("problem", { error: new SignalingError(error) }));
	}

	#forgetKnock(id) {
		if (this.knocks.delete(id)) this.#emit("room", {});
	}

	#joined(event) {
		const again = this.#entered;
		const wasLocked = again && this.locked;
		this.#entered = true;
		this.#knocking = false;
		this.id = event.id;
		this.name = event.name ?? this.#wanted.who.name ?? "";
		this.knocks.clear();
		this.#readRoom(event);
		if (wasLocked && !this.locked) this.#lockAgain();
		this.#emit("joined", { again });
		this.#emit("state", { state: this.state });
	}

	#readRoom({ host, locked = false, password = false }) {
		Object.assign(this, { host, locked, hasPassword: password });
		this.#emit("room", {});
	}

	/** A relay that restarted knows of no lock. Those who were in the room may come back first. */
	#lockAgain() {
		clearTimeout(this.#relockTimer);
		this.#relockTimer = setTimeout(() => this.isHost && !this.locked && this.lock(), RELOCK_MS);
	}

	#refused(error) {
		const removed = error.code === "kicked";
		const refusal = new SignalingError(error);
		this.#knocking = false;
		if (removed || !this.#entered) {
			this.leave();
		} else {
			this.refusal = refusal;
			this.knocks.clear();
			this.#mesh.lose();
		}
		this.#emit("refused", { error: refusal, removed });
		this.#emit("state", { state: this.state });
	}

	#heard(event, detail) {
		if (event !== "shared") return this.#emit(event, detail);
		for (const { key, value } of this.#shared.merge(detail.entries)) this.#emit("shared", { key, value });
	}

	/** One for all connections, so that our end of every safety number stays the same. */
	async #makeCertificate() {
		try {
			const certificate = await this.#options.RTCPeerConnection.generateCertificate({ name: "ECDSA", namedCurve: "P-256" });
			this.#certificates = [certificate];
		} catch {
			// Each connection makes its own then.
		}
	}

	/** A listener that throws harms no other. */
	#emit(type, event) {
		for (const listener of [...(this.#listeners.get(type) ?? [])]) {
			try {
				listener(event);
			} catch (error) {
				console.error(error);
			}
		}
	}
}
