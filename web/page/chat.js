import { $, make } from "./dom.js";
import { colour } from "./names.js";

const MOST_LINES = 200;
const MOST_CHARACTERS = 2_000;
const LINK = /https?:\/\/[^\s<>"'“”‘’（）《》，。；]+/gi;

export class Chat {
	unread = 0;
	#isOpen;

	constructor({ onsend, isOpen, onchange }) {
		this.#isOpen = isOpen;
		this.onchange = onchange;
		$("chat-form").onsubmit = (event) => {
			event.preventDefault();
			const text = $("chat-text").value.trim();
			if (!text) return;
			const { sent, why } = onsend(text);
			if (sent) {
				$("chat-text").value = "";
				this.add({ from: "self", text, name: sent });
			}
			if (why) this.#line({ className: "system" }, ...why);
		};
	}

	add({ from, key, name, text }) {
		const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
		const who = make("b", {}, make("bdi", {}, name));
		colour(who, key);
		const head = make("p", { className: "who" }, who, ` ${time}`);
		const body = make("p", { className: "text", dir: "auto" }, ...linked(text.slice(0, MOST_CHARACTERS)));
		this.#line({ dataset: { from } }, head, body);
		if (this.#isOpen()) return;
		this.unread += 1;
		this.onchange();
	}

	read() {
		this.unread = 0;
		$("chat-list").scrollTop = $("chat-list").scrollHeight;
	}

	clear() {
		$("chat-list").replaceChildren();
		this.unread = 0;
	}

	#line(properties, ...children) {
		const list = $("chat-list");
		const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
		list.append(make("li", properties, ...children));
		while (list.children.length > MOST_LINES) list.firstChild.remove();
		if (atEnd) list.scrollTop = list.scrollHeight;
	}
}

function linked(text) {
	const parts = [];
	let end = 0;
	for (const match of text.matchAll(LINK)) {
		const shown = match[0].replace(/[.,;:!?)\]}]+$/, "");
		let url;
		try {
			url = new URL(shown);
		} catch {
			continue;
		}
		if (url.username || url.password) continue; // https://bank.example@evil.example
		parts.push(text.slice(end, match.index), make("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow" }, shown));
		end = match.index + shown.length;
	}
	parts.push(text.slice(end));
	return parts.filter((part) => part !== "");
}
