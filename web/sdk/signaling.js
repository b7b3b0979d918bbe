/** The signaling client, for any page and for Node. What each part is for stands in index.d.ts. */

import { Listeners } from "./listeners.js";
import { Outbox, PROBE_REF } from "./outbox.js";

/** Before dialling again; doubled at each failure. */
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;
const JOIN_DEADLINE_MS = 9_000;
const PROBE_DEADLINE_MS = 4_000;
/** How often we look at the clock: a timer stands still while the machine sleeps. */
const WATCH_MS = 3_000;
/** A timer that comes this late means that it slept. */
const SLEEP_GAP_MS = 12_000;
/** Before new ICE servers are asked for again that the relay would not tell. */
const RENEW_AGAIN_MS = 30_000;
/** The relay needs up to this long to find a dead connection, which holds our id. */
const GHOST_MS = 40_000;
/**
 * Close codes after which the same would happen again: a broken rule of the protocol. 1008 is one of them where the relay
 * says `maxMessageBytes`; an older one also closes so when a pong is missing.
 */
const FINAL_CODES = [1002, 1003, 1007, 1009];
const POLICY_CODE = 1008;
const TAKEN_OVER_CODE = 4001;
const JOIN_REF = "join";
const RENEW_REF = "ice";
const REPORT_REF = "report";

export class SignalingError extends Error {
	constructor({ code, message, retryable = false }) {
		super(message);
		Object.assign(this, { name: "SignalingError", code, retryable });
	}
}

export class SignalingChannel {
	state = "closed";
	id = null;

	maxMessageBytes = Infinity;

	#url;
	#WebSocket;
	#socket = null;
	#wanted = null;
	#joinedBefore = false;
	#outbox = new Outbox((message) => this.state === "joined" && this.#put(message));
	/** What the relay has sent since `joined`. */
	#received = 0;
	#settle = null;
	#listeners = new Listeners();
	#ghostSinceMs = 0;
	#failures = 0;
	#notBeforeMs = 0;
	#redialTimer = 0;
	#deadlineTimer = 0;
	#probeTimer = 0;
	#watchTimer = 0;
	/** When the credentials of the ICE servers have a quarter of their time left. */
	#renewAtMs = Infinity;

	constructor(url = globalThis.location && SignalingChannel.urlFor(location.href), { WebSocket } = {}) {
		this.#WebSocket = WebSocket;
		if (!/^(ws|http)s?:/i.test(url)) throw new TypeError(`"${url}" is no address such as wss://relay.example/ws`);
		this.#url = new URL(url);
		if (!this.#Socket) throw new Error("no WebSocket: use Node 22 or later, or give a class");
	}

	/** The browser's own is looked up at each dial: a page may have put another in its place. */
	get #Socket() {
		return this.#WebSocket ?? globalThis.WebSocket;
	}

	static urlFor(pageUrl) {
		const page = new URL(pageUrl);
		if (!page.protocol.startsWith("http")) return "ws://localhost:8080/ws";
		const url = new URL("ws", page);
		url.protocol = page.protocol.replace("http", "ws");
		return url.href;
	}

	on(type, listener) {
		return this.#listeners.on(type, listener);
	}

	join(room, { name, id, token, password, resume = true } = {}) {
		this.leave();
		const said = (value) => value || undefined;
		this.#wanted = { room, resume, name: said(name), id: said(id), token: said(token), password: said(password) };
		this.#outbox.room = room;
		this.#joinedBefore = false;
		this.#ghostSinceMs = 0;
		const joined = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
		joined.catch(() => {}); // "refused" tells as well
		this.#watch(true);
		this.reconnect();
		return joined;
	}

	send(type, fields, to = fields?.to) {
		if (type === "report") return this.#outbox.write({ ...fields, type, to, ref: REPORT_REF });
		if (this.state !== "joined" && !this.#outbox.waits) return false;
		const sent = this.#outbox.send({ ...fields, type }, to, this.maxMessageBytes);
		if (sent !== null) return sent;
		const message = `a message may have ${this.maxMessageBytes} bytes`;
		this.#emit("error", { type: "error", code: "too_large", message, retryable: false, ref: fields?.ref });
		return false;
	}

	leave() {
		if (this.state === "joined") this.#outbox.write({ type: "leave" });
		this.#wanted = null;
		this.#settle?.reject(new SignalingError({ code: "closed", message: "left before joining" }));
		this.#watch(false);
		this.#hangUp(1000, "bye");
		this.#outbox.forget();
		this.#become("closed");
	}

	close() {
		this.leave();
		this.#listeners.clear();
	}

	kick = (to, message) => this.#outbox.write({ type: "kick", to, message });
	lock = (locked = true) => this.#outbox.write({ type: "lock", locked });
	admit = (to) => this.#outbox.write({ type: "admit", to });
	deny = (to) => this.#outbox.write({ type: "deny", to });
	makeHost = (to) => this.#outbox.write({ type: "make_host", to });

	reconnect() {
		if (this.#wanted && ["closed", "waiting"].includes(this.state)) this.#dial();
	}

	/**
	 * After a sleep or a change of network a dead socket looks alive for minutes.
	 * A second `join` must be answered (`already_joined`).
	 */
	probe() {
		if (this.state !== "joined" || this.#probeTimer) return;
		this.#outbox.ask();
		this.#probeTimer = setTimeout(() => this.#lost({ code: 0, reason: "no answer" }), PROBE_DEADLINE_MS);
	}

	#dial() {
		this.#hangUp();
		this.#become("connecting");
		let socket;
		try {
			// Load balancers see the URL alone.
			this.#url.searchParams.set("route", this.#wanted.room);
			socket = new this.#Socket(this.#url.href);
		} catch (error) {
			return this.#lost({ code: 0, reason: error.message });
		}
		this.#socket = socket;
		this.#deadlineTimer = setTimeout(() => this.#lost({ code: 0, reason: "no answer" }), JOIN_DEADLINE_MS);
		const mine = (handler) => (event) => socket === this.#socket && handler(event);
		socket.onopen = mine(() => {
			this.#become("joining");
			const { token } = this.#outbox;
			if (token) this.#put({ type: "resume", token, received: this.#received });
			else this.#enter();
		});
		socket.onmessage = mine(({ data }) => this.#read(data));
		socket.onclose = mine(({ code, reason }) => {
			if (code === TAKEN_OVER_CODE) return this.#refuse({ code: "taken_over", message: reason });
			if (this.#isFinal(code)) return this.#refuse({ code: "closed_by_relay", message: reason || `close code ${code}`, closeCode: code });
			if (this.state === "connecting") reason ||= `no relay there, or it needs --allow-origin ${globalThis.origin ?? ""}`;
			this.#lost({ code, reason });
		});
	}

	#isFinal(code) {
		const tells = this.maxMessageBytes !== Infinity || !this.#joinedBefore;
		return FINAL_CODES.includes(code) || (code === POLICY_CODE && tells);
	}

	#enter = () => this.#put({ type: "join", ...this.#wanted, ref: JOIN_REF });

	#read(text) {
		const message = JSON.parse(text);
		if (this.state === "joined") this.#received += 1;
		clearTimeout(this.#probeTimer);
		this.#probeTimer = 0;
		switch (message.type) {
			case "joined":
				return this.#joined(message);
			case "resumed":
				return this.#resumed(message);
			case "taken":
				return this.#outbox.taken(message.received);
			case "peer_joined":
				this.#outbox.meet(message.id);
				break;
			case "peer_left":
				this.#outbox.part(message.id);
				break;
			case "waiting": // for the host, who may take minutes
				clearTimeout(this.#deadlineTimer);
				break;
			case "ice_servers":
				this.#renewIn(message.ttlMs);
				break;
			case "goaway":
				this.#notBeforeMs = Number(message.retryAfterMs) || 0;
				this.#outbox.token = null;
				break;
			case "error":
				if (message.ref === PROBE_REF) return this.#outbox.answered();
				if (message.ref === RENEW_REF && message.retryable) this.#renewAtMs = Date.now() + RENEW_AGAIN_MS;
				if ([RENEW_REF, REPORT_REF].includes(message.ref)) return; // an older relay knows no such type
				if (message.code === "kicked") return this.#refuse(message);
				if (this.state === "joining") return this.#refused(message);
				if (this.#outbox.returned(message)) return;
		}
		this.#emit(message.type, message);
	}

	#joined(message) {
		const { peers, iceServers = [] } = message;
		if (message.room !== this.#wanted.room) {
			return this.#refuse({ code: "bad_url", message: "the address of the relay ends with /ws" });
		}
		clearTimeout(this.#deadlineTimer);
		this.#outbox.token = message.resume?.token;
		this.maxMessageBytes = message.maxMessageBytes ?? Infinity;
		this.#renewIn(message.ttlMs);
		this.#received = 1;
		const previousId = this.id;
		const again = this.#joinedBefore;
		this.id = message.id;
		this.#joinedBefore = true;
		this.#failures = this.#ghostSinceMs = 0;
		for (const { id } of peers) this.#outbox.meet(id);
		this.#become("joined");
		this.#settle.resolve(message);
		this.#emit("joined", { ...message, iceServers, again, previousId });
	}

	#resumed(message) {
		clearTimeout(this.#deadlineTimer);
		this.#failures = 0;
		this.#renewIn(message.ttlMs);
		this.#outbox.repeat(message.received, (text) => this.#socket.send(text));
		this.#become("joined");
		this.#emit("resumed", message);
	}

	/** At a rejoin our last connection may still hold a place or our id, until the relay finds it dead. */
	#refused(error) {
		if (this.#outbox.token && !error.retryable) {
			this.#outbox.forget();
			return this.#enter();
		}
		this.#ghostSinceMs ||= Date.now();
		const isGhost = error.code === "id_taken" && Date.now() - this.#ghostSinceMs < GHOST_MS;
		if (this.#joinedBefore && (error.retryable || isGhost)) return this.#lost({ code: 1013, reason: error.message, error });
		this.#refuse(error);
	}

	#refuse(error) {
		this.#settle.reject(new SignalingError(error));
		this.leave();
		this.#emit("refused", error);
	}

	#lost({ code, reason, error }) {
		this.#hangUp();
		if (!this.#outbox.token) this.#outbox.forget();
		if (!this.#wanted) return this.#become("closed");
		const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures);
		// Jitter: a restarted relay should not meet everybody at once.
		const retryInMs = Math.round(this.#notBeforeMs + longest * (0.5 + Math.random() / 2));
		this.#failures = Math.min(this.#failures + 1, 10);
		this.#notBeforeMs = 0;
		this.#redialTimer = setTimeout(() => this.#dial(), retryInMs);
		this.#become("waiting", { retryInMs, code, reason, error });
	}

	/** 1000 would give our place up. */
	#hangUp(code = 4000, reason = "again") {
		[this.#redialTimer, this.#deadlineTimer, this.#probeTimer].forEach(clearTimeout);
		this.#probeTimer = 0;
		const socket = this.#socket;
		this.#socket = null;
		socket?.close(code, reason);
	}

	#put(message) {
		if (this.#socket?.readyState !== 1 /* OPEN */) return false;
		this.#socket.send(JSON.stringify(message));
		return true;
	}

	#become(state, detail = {}) {
		if (state === this.state && state !== "waiting") return;
		this.state = state;
		this.#emit("state", { state, ...detail });
	}

	#emit(type, event) {
		this.#listeners.emit(type, event);
	}

	#renewIn(ttlMs = Infinity) {
		this.#renewAtMs = Date.now() + ttlMs * 0.75;
	}

	/** Rather at this look than after the quarter has begun. */
	#renew() {
		if (this.state !== "joined" || Date.now() + WATCH_MS < this.#renewAtMs) return;
		this.#renewAtMs = Infinity;
		this.#outbox.write({ type: "ice_servers", ref: RENEW_REF });
	}

	/** Notices a network that came back and a machine that woke up, and ICE servers that run out. */
	#watch(on) {
		clearInterval(this.#watchTimer);
		const listen = on ? "addEventListener" : "removeEventListener";
		globalThis[listen]?.("online", this.#stir);
		globalThis.navigator?.connection?.[listen]?.("change", this.#stir);
		if (!on) return;
		let last = Date.now();
		this.#watchTimer = setInterval(() => {
			if (Date.now() - last > SLEEP_GAP_MS) this.#stir();
			last = Date.now();
			this.#renew();
		}, WATCH_MS);
	}

	#stir = () => (this.state === "waiting" ? this.reconnect() : this.probe());
}
