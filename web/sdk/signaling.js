/**
 * The signaling client: one WebSocket to the relay that reconnects by itself. For any page, and for Node; needs no other
 * file. The relay serves it as `/signaling.mjs`, and as the classic script `/signaling.js`. What each part is for stands in
 * index.d.ts, an example in README.md.
 */

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
/** The free share goes to a peer unconfirmed within FREE_MS: half of the 64 messages and 64 KiB that its queue takes. */
const FREE_MESSAGES = 32;
const FREE_BYTES = 32 * 1024;
/** The relay closes a peer that reads nothing for this long. */
const FREE_MS = 5_000;
/** Before a busy peer is tried again; doubled each time. */
const FIRST_BUSY_MS = 100;
const LONGEST_BUSY_MS = 1_000;
/** What may wait for all peers together, in free shares: 1,024 messages or 1 MiB. */
const MOST_HELD = 32;
/** Characters that may wait for our return. */
const MOST_LOGGED = 2 ** 20;
/**
 * Close codes after which the same would happen again: a broken rule of the protocol. 1008 is one of them where the relay
 * says `maxMessageBytes`; an older one also closes so when a pong is missing.
 */
const FINAL_CODES = [1002, 1003, 1007, 1009];
const POLICY_CODE = 1008;
const TAKEN_OVER_CODE = 4001;
const PROBE_REF = "probe";
const JOIN_REF = "join";
const RENEW_REF = "ice";

export class SignalingError extends Error {
	constructor({ code, message, retryable = false }) {
		super(message);
		Object.assign(this, { name: "SignalingError", code, retryable });
	}
}

/**
 * The messages that wait for one peer. The relay reports refusals only. So beyond the free share one message is in
 * flight at a time, followed by a question; if the answer comes first, the message was accepted.
 */
class SendQueue {
	held = [];
	#write;
	#ask;
	#inFlight = false;
	#refused = false;
	#waiting = false;
	#delayMs = FIRST_BUSY_MS;
	#timer = 0;
	#used = 0;
	#usedAtMs = 0;

	constructor(id, write, ask) {
		this.id = id;
		this.#write = write;
		this.#ask = ask;
	}

	admits(share) {
		const now = performance.now();
		this.#used = Math.max(0, this.#used - (now - this.#usedAtMs) / FREE_MS);
		this.#usedAtMs = now;
		return !this.#waiting && this.#used + share <= 1;
	}

	count(share) {
		this.#used = Math.min(1, this.#used + share);
	}

	/** Inserts a message in order. It goes once all that went before is settled. */
	hold(message) {
		const at = this.held.findIndex(({ number }) => number > message.number);
		this.held.splice(at < 0 ? this.held.length : at, 0, message);
		if (!this.#waiting) this.#ask(this);
		this.#waiting = true;
	}

	refuse(message) {
		this.#refused = true;
		this.count(1);
		if (!this.held.includes(message)) this.hold(message);
	}

	settle() {
		const refused = this.#refused;
		if (this.#inFlight && !refused) this.held.shift();
		if (refused) this.#timer = setTimeout(() => this.#next(), this.#delayMs);
		else this.#next();
		this.#delayMs = refused ? Math.min(this.#delayMs * 2, LONGEST_BUSY_MS) : FIRST_BUSY_MS;
	}

	drop() {
		clearTimeout(this.#timer);
		this.held = [];
	}

	#next() {
		this.#refused = false;
		this.#inFlight = this.#waiting = this.held.length > 0;
		if (!this.#inFlight) return;
		this.#write(this.held[0]);
		this.#ask(this);
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
	#token = null;
	/** What the relay has sent since `joined`. */
	#received = 0;
	/** What it may not have taken, and how much it has. */
	#log = [];
	#taken = 0;
	#settle = null;
	#listeners = new Map();
	#queues = new Map();
	/** What the relay may still refuse, by its `ref`. */
	#sent = new Map();
	#lastRef = 0;
	#unasked = 0;
	/** Queues that are about to ask, and questions without an answer yet. */
	#asking = [];
	#questions = [];
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
		this.#url = String(url);
		this.#WebSocket = WebSocket;
		if (!/^(ws|http)s?:/i.test(url)) throw new TypeError(`"${url}" is no address such as wss://relay.example/ws`);
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
		url.protocol = page.protocol === "https:" ? "wss:" : "ws:";
		return url.href;
	}

	on(type, listener) {
		if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
		this.#listeners.get(type).add(listener);
		return () => this.#listeners.get(type)?.delete(listener);
	}

	join(room, { name, id, token, password, resume = true } = {}) {
		this.leave();
		const said = (value) => value || undefined;
		this.#wanted = { room, resume, name: said(name), id: said(id), token: said(token), password: said(password) };
		this.#joinedBefore = false;
		this.#ghostSinceMs = 0;
		const joined = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
		joined.catch(() => {}); // "refused" tells as well
		this.#watch(true);
		this.reconnect();
		return joined;
	}

	send(type, fields, to = fields?.to) {
		if (this.state !== "joined" && !(this.#token && this.#log.join("").length < MOST_LOGGED)) return false;
		const text = JSON.stringify({ ...fields, type, ref: undefined, to: undefined });
		const bytes = new TextEncoder().encode(text).length;
		if (this.#isTooLarge(bytes, to)) return this.#tooLarge(fields?.ref);
		const share = Math.max(1 / FREE_MESSAGES, bytes / FREE_BYTES);
		const message = { number: ++this.#lastRef, to, ref: fields?.ref, text, share };
		const all = [...this.#queues.values()];
		const queues = all.filter(({ id }) => to === undefined || to === id);
		if (queues.every((queue) => queue.admits(share))) {
			for (const queue of queues) queue.count(share);
			return this.#writeSignal(message);
		}
		const held = all.flatMap((queue) => queue.held);
		if (held.reduce((sum, { share }) => sum + share, share * queues.length) > MOST_HELD) return false;
		// One must wait; the others need not: a copy for each.
		for (const queue of queues) {
			const copy = { ...message, to: queue.id, isCopy: to === undefined };
			if (queue.admits(share)) this.#writeSignal(copy);
			else queue.hold(copy);
			queue.count(share);
		}
		return true;
	}

	/** With the `ref` and the receiver that are added to it. */
	#isTooLarge(bytes, to) {
		const envelope = `,"ref":"${this.#lastRef + 1}"`.length + (to === undefined ? 0 : `,"to":"${to}"`.length);
		return bytes + envelope > this.maxMessageBytes;
	}

	#tooLarge(ref) {
		const message = `a message may have ${this.maxMessageBytes} bytes`;
		this.#emit("error", { type: "error", code: "too_large", message, retryable: false, ref });
		return false;
	}

	leave() {
		if (this.state === "joined") this.#write({ type: "leave" });
		this.#wanted = null;
		this.#settle?.reject(new SignalingError({ code: "closed", message: "left before joining" }));
		this.#watch(false);
		this.#hangUp(1000, "bye");
		this.#forget();
		this.#become("closed");
	}

	close() {
		this.leave();
		this.#listeners.clear();
	}

	kick = (to, message) => this.#write({ type: "kick", to, message });
	lock = (locked = true) => this.#write({ type: "lock", locked });
	admit = (to) => this.#write({ type: "admit", to });
	deny = (to) => this.#write({ type: "deny", to });
	makeHost = (to) => this.#write({ type: "make_host", to });

	reconnect() {
		if (this.#wanted && ["closed", "waiting"].includes(this.state)) this.#dial();
	}

	/**
	 * After a sleep or a change of network a dead socket looks alive for minutes.
	 * A second `join` must be answered (`already_joined`).
	 */
	probe() {
		if (this.state !== "joined" || this.#probeTimer) return;
		this.#ask([]);
		this.#probeTimer = setTimeout(() => this.#lost({ code: 0, reason: "no answer" }), PROBE_DEADLINE_MS);
	}

	#dial() {
		this.#hangUp();
		this.#become("connecting");
		let socket;
		try {
			socket = new this.#Socket(this.#url);
		} catch (error) {
			return this.#lost({ code: 0, reason: error.message });
		}
		this.#socket = socket;
		this.#deadlineTimer = setTimeout(() => this.#lost({ code: 0, reason: "no answer" }), JOIN_DEADLINE_MS);
		const mine = (handler) => (event) => socket === this.#socket && handler(event);
		socket.onopen = mine(() => {
			this.#become("joining");
			if (this.#token) this.#put({ type: "resume", token: this.#token, received: this.#received });
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
			case "taken": {
				// What it refused of them, it has said before.
				const refs = this.#took(message.received).map((text) => Number(JSON.parse(text).ref) || 0);
				return this.#settleUpTo(Math.max(0, ...refs));
			}
			case "peer_joined":
				this.#meet(message.id);
				break;
			case "peer_left":
				this.#queues.get(message.id)?.drop();
				this.#queues.delete(message.id);
				break;
			case "waiting": // for the host, who may take minutes
				clearTimeout(this.#deadlineTimer);
				break;
			case "ice_servers":
				this.#renewIn(message.ttlMs);
				break;
			case "goaway":
				this.#notBeforeMs = Number(message.retryAfterMs) || 0;
				this.#token = null;
				break;
			case "error":
				if (message.ref === PROBE_REF) return this.#answered();
				if (message.ref === RENEW_REF && message.retryable) this.#renewAtMs = Date.now() + RENEW_AGAIN_MS;
				if (message.ref === RENEW_REF) return; // an older relay knows no such question
				if (message.code === "kicked") return this.#refuse(message);
				if (this.state === "joining") return this.#refused(message);
				if (this.#returned(message)) return;
		}
		this.#emit(message.type, message);
	}

	#joined(message) {
		const { peers, iceServers = [] } = message;
		if (message.room !== this.#wanted.room) {
			return this.#refuse({ code: "bad_url", message: `${this.#url} is another room: end it with /ws` });
		}
		clearTimeout(this.#deadlineTimer);
		this.#token = message.resume?.token;
		this.maxMessageBytes = message.maxMessageBytes ?? Infinity;
		this.#renewIn(message.ttlMs);
		this.#received = 1;
		const previousId = this.id;
		const again = this.#joinedBefore;
		this.id = message.id;
		this.#joinedBefore = true;
		this.#failures = this.#ghostSinceMs = 0;
		for (const peer of peers) this.#meet(peer.id);
		this.#become("joined");
		this.#settle.resolve(message);
		this.#emit("joined", { ...message, iceServers, again, previousId });
	}

	#resumed(message) {
		clearTimeout(this.#deadlineTimer);
		this.#failures = 0;
		this.#renewIn(message.ttlMs);
		this.#took(message.received);
		for (const text of this.#log) this.#socket.send(text);
		this.#become("joined");
		this.#emit("resumed", message);
	}

	#took(received) {
		const gone = this.#log.splice(0, received - this.#taken);
		this.#taken = Math.max(received, this.#taken);
		return gone;
	}

	#settleUpTo(lastRef) {
		for (const ref of this.#sent.keys()) if (ref <= lastRef) this.#sent.delete(ref);
	}

	/** At a rejoin our last connection may still hold a place or our id, until the relay finds it dead. */
	#refused(error) {
		if (this.#token && !error.retryable) {
			this.#forget();
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
		if (!this.#token) this.#forget();
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

	#forget() {
		for (const queue of this.#queues.values()) queue.drop();
		this.#queues.clear();
		this.#sent.clear();
		[this.#asking, this.#questions, this.#log] = [[], [], []];
		this.#token = null;
		this.#taken = 0;
	}

	#meet(id) {
		const ask = (queue) => this.#asking.push(queue) === 1 && queueMicrotask(() => this.#ask(this.#asking.splice(0)));
		this.#queues.set(id, new SendQueue(id, (message) => this.#writeSignal(message), ask));
	}

	/** The answer to this comes after every refusal of what was sent before. */
	#ask(queues) {
		this.#unasked = 0;
		const asked = this.#write({ type: "join", room: this.#wanted?.room, ref: PROBE_REF });
		if (asked) this.#questions.push({ queues, lastRef: this.#lastRef });
	}

	#answered() {
		const { queues, lastRef } = this.#questions.shift();
		this.#settleUpTo(lastRef);
		for (const queue of queues) queue.settle();
	}

	/** An error about a message from `send`. @returns {boolean} whether it is handled */
	#returned(error) {
		const message = this.#sent.get(Number(error.ref));
		if (!message) return false;
		const queue = this.#queues.get(error.to ?? message.to);
		const isLate = error.code === "rate_limited" && queue?.held.includes(message);
		if (queue && (error.code === "peer_busy" || isLate)) {
			queue.refuse(message.to === undefined ? { ...message, to: error.to, isCopy: true } : message);
			return true;
		}
		error.ref = message.ref;
		return message.isCopy && error.code === "peer_not_found";
	}

	#writeSignal(message) {
		const { to, text, share } = message;
		const ref = ++this.#lastRef;
		this.#sent.set(ref, message);
		this.#unasked += share;
		const sent = this.#write({ ...JSON.parse(text), ref: String(ref), to });
		if (this.#unasked > 1 && !this.#token) this.#ask([]); // with a place, `taken` tells
		return sent;
	}

	/** Says it now, or when we are back. */
	#write(message) {
		if (this.#token) this.#log.push(JSON.stringify(message));
		return (this.state === "joined" && this.#put(message)) || !!this.#token;
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

	#renewIn(ttlMs = Infinity) {
		this.#renewAtMs = Date.now() + ttlMs * 0.75;
	}

	/** Rather at this look than after the quarter has begun. */
	#renew() {
		if (this.state !== "joined" || Date.now() + WATCH_MS < this.#renewAtMs) return;
		this.#renewAtMs = Infinity;
		this.#write({ type: "ice_servers", ref: RENEW_REF });
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
