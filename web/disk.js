/** The page opened from disk: it goes on to the relay on this machine, or says how to start one. */
"use strict";

const LOOK_MS = 1_000;
const ANSWER_MS = 5_000;

class DiskPage {
	#found = "";
	#words = make("div", { id: "disk", ariaLive: "polite" });
	#url = servedUrl(location);
	#timer = 0;

	constructor() {
		$("entry").hidden = true;
		$("entry").after(this.#words);
		this.look();
	}

	/** Looks until the relay is there, which refuses sockets of pages from disk. */
	async look() {
		const found = await whoAnswers(this.#url);
		if (found === "relay") return location.replace(this.#url);
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => this.look(), LOOK_MS);
		if (found === this.#found) return;
		this.#found = found;
		this.render();
	}

	render() {
		const { origin: url, port } = this.#url;
		if (this.#found) this.#words.replaceChildren(notice({ device: "relay", problem: this.#found, url, port }, () => this.look()));
	}
}

/** Where the relay serves this page: on `?port=`, or 8080. */
function servedUrl({ search, hash }) {
	const url = new URL(`http://localhost:8080/${search}${hash}`);
	const port = url.searchParams.get("port");
	if (/^[1-9]\d{0,4}$/.test(port) && port < 65536) url.port = port;
	url.searchParams.delete("port");
	return url;
}

/** Pages from disk may not read an answer, but see whether there is one, and whether it is a picture. */
async function whoAnswers(url) {
	const icon = new URL("icon.svg", url);
	try {
		await fetch(icon, { mode: "no-cors", signal: AbortSignal.timeout(ANSWER_MS) });
	} catch {
		return "nobody";
	}
	return make("img", { src: icon }).decode().then(() => "relay", () => "stranger");
}
