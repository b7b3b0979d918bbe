/**
 * The signaling client: one WebSocket to the relay that finds its way back. For any page; needs no other file, and
 * knows nothing of WebRTC. By `<script src="signaling.js">`, or `import { SignalingChannel } from "./signaling.mjs"`.
 *
 *   const channel = new SignalingChannel();          // this page's own host; or "wss://relay.example/ws"
 *   channel.on("joined", ({ id, peers, iceServers }) => ...);
 *   channel.on("offer", ({ from, sdp }) => ...);
 *   channel.join("blue-heron", { name: "Ana" });
 *   channel.send("offer", { sdp }, peers[0].id);
 *
 * Once joined it stays joined: a lost socket is dialled again with backoff and jitter, and the room entered again
 * under the same name, until `leave()` or `close()`, or until the relay refuses.
 */
(() => {
	"use strict";

	/** Before dialling again; doubled at each failure. */
	const FIRST_DELAY_MS = 500;
	const LONGEST_DELAY_MS = 10_000;
	/** From dialling to `joined`. */
	const JOIN_DEADLINE_MS = 9_000;
	const PROBE_DEADLINE_MS = 4_000;
	/** A timer that comes this late means that the machine slept. */
	const SLEEP_GAP_MS = 12_000;
	const PROBE_REF = "probe";
	const JOIN_REF = "join";

	/** What the relay refused; `code` is the protocol's. */
	class SignalingError extends Error {
		/** @param {{code: string, message: string, retryable?: boolean}} refusal */
		constructor({ code, message, retryable = false }) {
			super(message);
			Object.assign(this, { name: "SignalingError", code, retryable });
		}
	}

	class SignalingChannel {
		/** @type {"closed"|"connecting"|"joining"|"joined"|"waiting"} */
		state = "closed";
		/** Our id in the room while joined. The relay makes a new one at each join. @type {string|null} */
		id = null;

		#url;
		#socket = null;
		/** What to say to `join`, while we mean to be in a room. */
		#wanted = null;
		#joinedBefore = false;
		/** Of the promise that `join` gave. */
		#settle = null;
		#listeners = new Map();
		#failures = 0;
		#notBeforeMs = 0;
		#redialTimer = 0;
		#deadlineTimer = 0;
		#probeTimer = 0;
		#watchTimer = 0;

		/** @param {string|URL} [url] the relay's `/ws` address; by default the one that belongs to this page */
		constructor(url = SignalingChannel.urlFor(location.href)) {
			this.#url = String(url);
		}

		/**
		 * The relay that belongs to a page: the same host; for a page from disk the one on this machine.
		 * @param {string} pageUrl
		 * @returns {string}
		 */
		static urlFor(pageUrl) {
			const page = new URL(pageUrl);
			if (!page.protocol.startsWith("http")) return "ws://localhost:8080/ws";
			const url = new URL("ws", page);
			url.protocol = page.protocol === "https:" ? "wss:" : "ws:";
			url.search = url.hash = "";
			return url.href;
		}

		/**
		 * Listens to one kind of event. From the relay, with its fields: joined (and `again`, `previousId`),
		 * peer_joined, peer_left, host, offer, answer, offer_ice, answer_ice, message, error, goaway.
		 * From here: state {state, retryInMs?, code?, reason?}, refused {code, message, retryable}.
		 * @param {string} type
		 * @param {(event: any) => void} listener
		 * @returns {() => void} call it to stop listening
		 */
		on(type, listener) {
			if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
			this.#listeners.get(type).add(listener);
			return () => this.#listeners.get(type).delete(listener);
		}

		/**
		 * Enters a room, dialling the relay first. Keeps trying while the relay cannot be reached.
		 * @param {string} room
		 * @param {{name?: string, id?: string}} [who] without an `id` the relay makes one
		 * @returns {Promise<object>} `joined`; rejected when the relay refuses, or by leave and close
		 */
		join(room, { name, id } = {}) {
			this.leave();
			this.#wanted = { room };
			if (name) this.#wanted.name = name;
			if (id) this.#wanted.id = id;
			this.#joinedBefore = false;
			const joined = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
			joined.catch(() => {}); // who listens to "refused" need not catch it as well
			this.#watch(true);
			this.reconnect();
			return joined;
		}

		/**
		 * Sends one message. False when we are in no room: then it never will be sent.
		 * @param {"offer"|"answer"|"offer_ice"|"answer_ice"|"message"} type
		 * @param {object} fields e.g. {sdp}, {iceCandidate}, {data}
		 * @param {string} [to] one peer's id; without it everyone else in the room
		 * @returns {boolean}
		 */
		send(type, fields, to) {
			if (this.state !== "joined") return false;
			return this.#write(to === undefined ? { ...fields, type } : { ...fields, type, to });
		}

		/** Leaves the room and hangs up; the others hear `left`. */
		leave() {
			if (this.state === "joined") this.#write({ type: "leave" });
			this.#wanted = null;
			this.#settle?.reject(new SignalingError({ code: "closed", message: "left before joining" }));
			this.#watch(false);
			this.#drop("bye");
			this.#become("closed");
		}

		/** Leaves, and forgets every listener. */
		close() {
			this.leave();
			this.#listeners.clear();
		}

		/** Dials now rather than when the delay is over: for a "try again" button. */
		reconnect() {
			if (this.#wanted && ["closed", "waiting"].includes(this.state)) this.#dial();
		}

		/**
		 * Asks whether the relay is still there: after a sleep or a change of network a dead socket looks alive for
		 * minutes. A second `join` must be answered (`already_joined`), which is all that we want to know.
		 */
		probe() {
			if (this.state !== "joined" || this.#probeTimer) return;
			this.#write({ type: "join", room: this.#wanted.room, ref: PROBE_REF });
			this.#probeTimer = setTimeout(() => this.#lost({ code: 0, reason: "no answer" }), PROBE_DEADLINE_MS);
		}

		#dial() {
			this.#drop("again");
			this.#become("connecting");
			let socket;
			try {
				socket = new WebSocket(this.#url);
			} catch (error) {
				return this.#lost({ code: 0, reason: error.message }); // e.g. ws:// from an https page
			}
			this.#socket = socket;
			this.#deadlineTimer = setTimeout(() => this.#lost({ code: 0, reason: "no answer" }), JOIN_DEADLINE_MS);
			const mine = (handler) => (event) => socket === this.#socket && handler(event);
			socket.onopen = mine(() => {
				this.#become("joining");
				this.#write({ type: "join", ...this.#wanted, ref: JOIN_REF });
			});
			socket.onmessage = mine(({ data }) => this.#read(data));
			socket.onclose = mine(({ code, reason }) => this.#lost({ code, reason }));
		}

		#read(text) {
			let message;
			try {
				message = JSON.parse(text);
			} catch {
				return;
			}
			if (message === null || typeof message !== "object" || typeof message.type !== "string") return;
			clearTimeout(this.#probeTimer); // whatever it says, it says that the relay lives
			this.#probeTimer = 0;
			switch (message.type) {
				case "joined":
					return this.#joined(message);
				case "goaway":
					this.#notBeforeMs = Number(message.retryAfterMs) || 0;
					break;
				case "error":
					if (message.ref === PROBE_REF) return;
					if (this.state === "joining") return this.#refused(message);
			}
			this.#emit(message.type, message);
		}

		#joined(message) {
			clearTimeout(this.#deadlineTimer);
			const previousId = this.id;
			const again = this.#joinedBefore;
			this.id = message.id;
			this.#joinedBefore = true;
			this.#failures = 0;
			this.#become("joined");
			this.#settle.resolve(message);
			const peers = Array.isArray(message.peers) ? message.peers : [];
			const iceServers = Array.isArray(message.iceServers) ? message.iceServers : [];
			this.#emit("joined", { ...message, peers, iceServers, again, previousId });
		}

		/** A full room at a rejoin is full of our own ghost, which the relay will find dead: try again. */
		#refused(error) {
			if (error.retryable && this.#joinedBefore) return this.#lost({ code: 1013, reason: error.message });
			this.#settle.reject(new SignalingError(error));
			this.leave();
			this.#emit("refused", error);
		}

		#lost({ code, reason }) {
			this.#drop("again");
			if (!this.#wanted) return this.#become("closed");
			const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures);
			// Jitter, so that a restarted relay does not meet everybody at once.
			const retryInMs = Math.round(this.#notBeforeMs + longest * (0.5 + Math.random() / 2));
			this.#failures = Math.min(this.#failures + 1, 10);
			this.#notBeforeMs = 0;
			this.#redialTimer = setTimeout(() => this.#dial(), retryInMs);
			this.#become("waiting", { retryInMs, code, reason });
		}

		#drop(reason) {
			for (const timer of [this.#redialTimer, this.#deadlineTimer, this.#probeTimer]) clearTimeout(timer);
			this.#probeTimer = 0;
			const socket = this.#socket;
			this.#socket = null;
			socket?.close(1000, reason);
		}

		#write(message) {
			if (this.#socket?.readyState !== WebSocket.OPEN) return false;
			this.#socket.send(JSON.stringify(message));
			return true;
		}

		#become(state, detail = {}) {
			if (state === this.state && state !== "waiting") return;
			this.state = state;
			this.#emit("state", { state, ...detail });
		}

		/** A listener that throws harms nobody else. */
		#emit(type, event) {
			for (const listener of [...(this.#listeners.get(type) ?? [])]) {
				try {
					listener(event);
				} catch (error) {
					console.error(error);
				}
			}
		}

		/** Notices a network that came back and a machine that woke up. */
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
			}, 3_000);
		}

		#stir = () => (this.state === "waiting" ? this.reconnect() : this.probe());
	}

	globalThis.SignalingChannel = SignalingChannel;
	globalThis.SignalingError = SignalingError;
})();
