/** The API of the relay, beside which this page is. */

/** The relay says something every two seconds. */
const SILENCE_MS = 15_000;
const ANSWER_MS = 15_000;

/** The relay refuses, or does not answer. */
export class Refused extends Error {
	constructor(status, message) {
		super(message);
		this.status = status;
	}
}

export class Relay {
	/** The token, here alone: in no storage, no cookie and no URL. */
	#token = "";

	show(token) {
		this.#token = token;
	}

	get(path) {
		return this.#within(ANSWER_MS, async (signal) => (await this.#fetch(path, { signal })).json());
	}

	post(path, body) {
		const headers = { "Content-Type": "application/json" };
		return this.#within(ANSWER_MS, async (signal) => {
			const response = await this.#fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
			return response.status === 204 ? null : response.json();
		});
	}

	/**
	 * What changes, as it does: gives the whole state after each change, and null while nothing changes. It ends when the
	 * relay ends it, and fails when the relay falls silent.
	 */
	async *live() {
		const ending = new AbortController();
		let alarm = 0;
		const listen = () => {
			clearTimeout(alarm);
			alarm = setTimeout(() => ending.abort(), SILENCE_MS);
		};
		try {
			listen();
			const response = await this.#fetch("live", { signal: ending.signal });
			const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
			let rest = "";
			for (;;) {
				const { done, value } = await reader.read();
				if (done) return;
				listen();
				const events = (rest + value).split("\n\n");
				rest = events.pop();
				for (const event of events) yield event.startsWith("data: ") ? JSON.parse(event.slice(6)) : null;
			}
		} finally {
			clearTimeout(alarm);
			ending.abort();
		}
	}

	async #within(milliseconds, act) {
		const late = new AbortController();
		const alarm = setTimeout(() => late.abort(), milliseconds);
		try {
			return await act(late.signal);
		} finally {
			clearTimeout(alarm);
		}
	}

	async #fetch(path, { headers = {}, ...options }) {
		const shown = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
		const wanted = { ...options, headers: { ...headers, ...shown }, cache: "no-store", credentials: "omit", redirect: "error" };
		let response;
		try {
			response = await fetch(`api/${path}`, wanted);
		} catch {
			throw new Refused(0, "the relay does not answer");
		}
		if (response.ok) return response;
		const { message } = await response.json().catch(() => ({ message: `the relay answers ${response.status}` }));
		throw new Refused(response.status, message);
	}
}

/** The path of a room, or of what may be done in it. */
export const inRoom = (name, action = "") => `rooms/${encodeURIComponent(name)}${action && `/${action}`}`;
