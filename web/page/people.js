import { $, make, mutedMark, replaceIfNew } from "./dom.js";
import { colour } from "./names.js";
import { chime } from "./sounds.js";
import { I18n, nodes, t } from "./text.js";

export class People {
	#call;
	#knocks = new Map();

	constructor(call) {
		this.#call = call;
		$("lock").onchange = () => call.lock($("lock").checked);
		call.on("knock", () => chime("knock"));
	}

	render(people) {
		const call = this.#call;
		const host = call.isHost;
		$("lock").checked = call.locked;
		$("lock").disabled = !host;
		$("lock-line").hidden = call.state !== "joined";
		$("locked").toggleAttribute("hidden", !call.locked);
		$("people-count").textContent = people.length;
		const focused = document.activeElement?.id;
		const isNew = replaceIfNew($("roster"), ...people.map((person) => this.#row(person, host)));
		if (isNew) $(focused)?.focus();
		this.#showKnocks();
	}

	#row({ key, member, shown, audio, video, note }, isHost) {
		const call = this.#call;
		const id = member ? member.id : call.id;
		const words = [
			id !== null && id === call.host && t("host"),
			member?.verified && t("verified"),
			video === "screen" && t("presenting"),
			note,
		].filter(Boolean);
		const name = make("bdi", {}, shown);
		const dot = make("i", { className: "dot" });
		colour(dot, key);
		const state = make("span", { className: "hint" }, words.join(" · "));
		const row = make("li", { dataset: { key } }, dot, make("span", { className: "who" }, name, " ", state));
		if (!audio) row.append(mutedMark());
		if (isHost && member?.id) {
			const makeHost = this.#button(key, "make_host", shown, () => call.makeHost(member));
			const remove = this.#button(key, "remove", shown, () => this.#remove(member, shown));
			row.append(make("span", { className: "actions" }, makeHost, remove));
		}
		return row;
	}

	#button(key, word, name, onclick) {
		const button = make("button", { id: `${word}-${key}`, className: "plain", onclick }, t(word));
		button.setAttribute("aria-label", `${t(word)}: ${name}`);
		return button;
	}

	#remove(member, name) {
		$("remove-title").replaceChildren(...nodes("remove_whom", { name }));
		$("remove-word").value = "";
		$("remove-yes").onclick = () => this.#call.kick(member, $("remove-word").value.trim() || undefined);
		$("remove").showModal();
	}

	#showKnocks() {
		const { knocks, isHost } = this.#call;
		for (const [id, element] of this.#knocks) {
			if (isHost && knocks.has(id) && element.lang === I18n.lang) continue;
			element.remove();
			this.#knocks.delete(id);
		}
		if (!isHost) return;
		for (const knock of knocks.values()) {
			if (this.#knocks.has(knock.id)) continue;
			const element = this.#knock(knock);
			this.#knocks.set(knock.id, element);
			$("knocks").append(element);
		}
	}

	#knock({ id, name, verified }) {
		const call = this.#call;
		const shown = name || t("someone");
		const act = (what, word, className) =>
			make("button", { type: "button", className, onclick: () => call[what](id), dataset: { act: what } }, t(word));
		return make(
			"div",
			{ className: "notice knock", lang: I18n.lang, dataset: { knock: id, name } },
			make("p", {}, ...nodes("knocks", { name: shown }), ...(verified ? [` (${t("verified")})`] : [])),
			act("admit", "let_in", "primary"),
			act("deny", "turn_away", "plain"),
		);
	}

	clear() {
		for (const element of this.#knocks.values()) element.remove();
		this.#knocks.clear();
		$("roster").replaceChildren();
		$("locked").setAttribute("hidden", "");
	}
}
