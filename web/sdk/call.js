/** A call of many over the relay. No DOM. What each part is for stands in index.d.ts. */

import { Listeners } from "./listeners.js";
import { Mesh } from "./mesh.js";
import { SharedState } from "./shared.js";
import { SignalingChannel, SignalingError } from "./signaling.js";

/** After a restart the others need this long to be back before the room is locked again. */
const RELOCK_MS = 5_000;
/** Whoever is displaced gets the code `kicked`, and this sentence of the relay's. */
const DISPLACED = /^somebody came whose id this is/;

export class Call {
	id = null;
	name = "";
	host = null;
	locked = false;
	hasPassword = false;
	knocks = new Map();
	refusal = null;
	channel;

	#mesh;
	#listeners = new Listeners();
	#shared = new SharedState();
	#state = {};
	#wanted = null;
	#entered = false;
	#knocking = false;
	#options;
	#relockTimer = 0;
	#stopSignal = () => {};

	constructor({ url, media = true, RTCPeerConnection = globalThis.RTCPeerConnection, WebSocket } = {}) {
		if (!RTCPeerConnection) throw new Error("no RTCPeerConnection: give a class");
		this.#options = { media, RTCPeerConnection, configuration: {} };
		this.channel = new SignalingChannel(url, { WebSocket });
		const greeting = () => ({ state: this.#state, shared: this.#shared.entries });
		this.#mesh = new Mesh(this.channel, (event, detail) => this.#heard(event, detail), greeting, this.#options);
		this.#listen();
		this.#makeCertificate();
	}

	get state() {
		if (!this.#wanted) return "closed";
		if (this.refusal) return "refused";
		if (this.channel.state === "joined") return "joined";
		if (this.#knocking) return "knocking";
		return this.#entered ? "reconnecting" : "connecting";
	}

	get members() {
		return this.#mesh.others;
	}

	get room() {
		return this.#wanted?.room ?? "";
	}

	get isHost() {
		return this.state === "joined" && this.host === this.id;
	}

	get hasEntered() {
		return this.#entered;
	}

	get iceServers() {
		return this.#mesh.links.iceServers;
	}

	get candidatePolicy() {
		return this.#mesh.links.candidatePolicy;
	}

	on(type, listener) {
		return this.#listeners.on(type, listener);
	}

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

	rejoin(changes = {}) {
		if (!this.#wanted) throw new SignalingError({ code: "closed", message: "join first" });
		this.refusal = null;
		const { room, who } = this.#wanted;
		Object.assign(who, changes);
		const joined = this.channel.join(room, who);
		this.#emit("state", { state: this.state });
		return joined;
	}

	leave() {
		this.#leave(true);
	}

	#leave(goodbye) {
		this.#stopSignal();
		clearTimeout(this.#relockTimer);
		const wasIn = this.#wanted !== null;
		this.#mesh.leave(goodbye);
		this.channel.leave();
		this.#wanted = this.refusal = this.id = this.host = null;
		this.#entered = this.#knocking = this.locked = this.hasPassword = false;
		this.knocks.clear();
		this.#shared = new SharedState();
		if (wasIn) this.#emit("state", { state: "closed" });
	}

	close() {
		this.leave();
		this.#mesh.close();
		this.channel.close();
		this.#listeners.clear();
	}

	setTrack(name, track) {
		this.#mesh.links.setTrack(name, track);
	}

	setState(state) {
		if (JSON.stringify(state) === JSON.stringify(this.#state)) return;
		this.#state = state;
		this.#mesh.announce({ type: "state", state }, { kind: "media", media: state });
	}

	send(data, member) {
		return this.#mesh.tell(data, member);
	}

	shared(key) {
		return this.#shared.get(key);
	}

	share(key, value) {
		const entry = this.#shared.set(key, value);
		if (!entry) return false;
		this.#mesh.announce({ type: "shared", entries: [entry] });
		this.#emit("shared", { key, value });
		return true;
	}

	openChannel(member, label, options) {
		if (!member.link) throw new Error("not connected yet");
		return member.link.pc.createDataChannel(label, options);
	}

	lock(locked = true) {
		clearTimeout(this.#relockTimer);
		return this.channel.lock(locked);
	}
	admit = (id) => this.channel.admit(id);
	kick = (member, message) => this.channel.kick(member.id, message);
	makeHost = (member) => this.channel.makeHost(member.id);

	deny(id) {
		const sent = this.channel.deny(id);
		if (sent) this.#forgetKnock(id);
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
			this.knocks.clear(); // a new host is told of all who wait
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
		const code = removed && DISPLACED.test(error.message) ? "displaced" : error.code;
		const refusal = new SignalingError({ ...error, code });
		this.#knocking = false;
		if (removed || !this.#entered) {
			this.#leave(false);
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

	async #makeCertificate() {
		try {
			const certificate = await this.#options.RTCPeerConnection.generateCertificate({ name: "ECDSA", namedCurve: "P-256" });
			this.#options.configuration.certificates = [certificate];
		} catch {
			// Each connection makes its own then.
		}
	}

	#emit(type, event) {
		this.#listeners.emit(type, event);
	}
}
