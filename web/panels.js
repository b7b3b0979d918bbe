/** The chat, and what each connection is doing. */
"use strict";

const MOST_LINES = 200;
const MOST_CHARACTERS = 2_000;
const LINK = /https?:\/\/[^\s<>"'“”‘’（）《》，。；]+/gi;

class Panels {
	/** @type {"chat"|"details"|null} */
	open = null;
	#unread = 0;
	#opener = null;
	#people = new Map();

	/** `onsend(text)` returns why it was not sent, or null. */
	constructor({ onsend, ontoggle }) {
		this.ontoggle = ontoggle;
		$("chat-open").onclick = () => this.toggle("chat");
		$("details-open").onclick = () => this.toggle("details");
		$("panel-close").onclick = () => this.toggle(null);
		copyBy("log-copy", Log.text);
		$("chat-form").onsubmit = (event) => {
			event.preventDefault();
			const text = $("chat-text").value.trim();
			if (!text) return;
			const why = onsend(text);
			if (why) return this.#line({ className: "system", textContent: why });
			$("chat-text").value = "";
			this.addChat("self", t("you"), text);
		};
		Log.onchange = () => this.open === "details" && this.#showLog();
	}

	toggle(which) {
		const closing = which === null || which === this.open;
		if (closing && this.open) this.#opener?.focus();
		this.open = closing ? null : which;
		this.#opener = closing ? null : $(`${which}-open`);
		$("panel").hidden = closing;
		for (const name of ["chat", "details"]) {
			$(name).hidden = this.open !== name;
			$(`${name}-open`).ariaExpanded = this.open === name;
		}
		if (this.open === "chat") {
			this.#unread = 0;
			$("chat-text").focus();
			$("chat-list").scrollTop = $("chat-list").scrollHeight;
		}
		if (this.open === "details") {
			$("panel-title").focus();
			this.#showLog();
		}
		this.render();
		this.ontoggle();
	}

	/** @param {string} from a peer's id or "self" */
	addChat(from, name, text) {
		const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
		const head = make("p", { className: "who" }, make("b", {}, name), ` ${time}`);
		const body = make("p", { className: "text" }, ...linked(text.slice(0, MOST_CHARACTERS)));
		this.#line({ dataset: { from } }, head, body);
		if (this.open === "chat") return;
		this.#unread += 1;
		this.render();
	}

	showPerson(key, peer, name, rows) {
		let item = this.#people.get(key);
		if (!item) {
			item = make("li", {}, make("h3"), make("dl"));
			this.#people.set(key, item);
			$("people").append(item);
		}
		item.dataset.peer = peer;
		item.firstChild.textContent = name;
		item.lastChild.replaceChildren(...rows.map(([what, value]) => row(what, value)));
		$("details-none").hidden = true;
	}

	removePerson(key) {
		this.#people.get(key)?.remove();
		this.#people.delete(key);
		$("details-none").hidden = this.#people.size > 0;
	}

	clear() {
		if (this.open) this.toggle(null);
		for (const key of [...this.#people.keys()]) this.removePerson(key);
		$("chat-list").replaceChildren();
		this.#unread = 0;
		this.render();
	}

	render() {
		if (this.open) $("panel-title").textContent = t(this.open);
		$("unread").hidden = this.#unread === 0;
		$("unread").textContent = this.#unread > 99 ? "99+" : this.#unread;
		$("chat-list").dataset.empty = t("chat_empty");
	}

	#line(properties, ...children) {
		const list = $("chat-list");
		const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
		list.append(make("li", properties, ...children));
		while (list.children.length > MOST_LINES) list.firstChild.remove();
		if (atEnd) list.scrollTop = list.scrollHeight;
	}

	#showLog() {
		$("log").textContent = Log.lines.join("\n");
	}
}

/** Text with its web addresses made links. */
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
