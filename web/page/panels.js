/** The panel beside the call: chat, people or details, one at a time. */

import { $, copyBy, make, row } from "./dom.js";
import { Log } from "./log.js";
import { t } from "./text.js";

const VIEWS = ["chat", "people", "details"];
const MOST_UNREAD = 99;

export class Panels {
	open = null;
	chat = null;
	#opener = null;
	#numbers = new Map();

	constructor() {
		for (const view of VIEWS) $(`${view}-open`).onclick = () => this.toggle(view);
		$("panel-close").onclick = () => this.toggle(null);
		copyBy("log-copy", Log.text);
		Log.onchange = () => this.open === "details" && this.#showLog();
	}

	toggle(which) {
		const closing = which === null || which === this.open;
		if (closing && this.open) this.#opener?.focus();
		this.open = closing ? null : which;
		this.#opener = closing ? null : $(`${which}-open`);
		$("panel").hidden = closing;
		for (const view of VIEWS) {
			$(`${view}-view`).hidden = this.open !== view;
			$(`${view}-open`).setAttribute("aria-expanded", this.open === view);
		}
		if (this.open === "chat") {
			this.chat.read();
			$("chat-text").focus();
		} else if (this.open) {
			$("panel-title").focus();
		}
		if (this.open === "details") this.#showLog();
		this.render();
	}

	showNumbers({ key, peer, shown, rows, safety }) {
		let item = this.#numbers.get(key);
		if (!item) {
			item = make("li", {}, make("h3", {}, make("bdi")), make("dl"), make("div", { className: "safety" }));
			this.#numbers.set(key, item);
			$("people").append(item);
		}
		item.dataset.peer = peer;
		item.querySelector("bdi").textContent = shown;
		item.querySelector("dl").replaceChildren(...rows.map(([what, value]) => row(what, value)));
		const box = item.querySelector(".safety");
		// What has the focus stays.
		if (!box.contains(document.activeElement)) box.replaceChildren(...safety);
	}

	forget(key) {
		this.#numbers.get(key)?.remove();
		this.#numbers.delete(key);
	}

	clear() {
		if (this.open) this.toggle(null);
		for (const key of this.#numbers.keys()) this.forget(key);
		this.chat?.clear();
		this.render();
	}

	render() {
		if (this.open) $("panel-title").textContent = t(this.open);
		const unread = this.chat?.unread ?? 0;
		$("unread").hidden = unread === 0;
		$("unread").textContent = unread > MOST_UNREAD ? `${MOST_UNREAD}+` : unread;
		$("chat-list").dataset.empty = t("chat_empty");
	}

	#showLog() {
		$("log").textContent = Log.lines.join("\n");
	}
}
