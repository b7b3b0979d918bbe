import { nodes, t } from "./text.js";

const TOAST_MS = 5_000;
const MOST_TOASTS = 3;

export const $ = (id) => document.getElementById(id);
export const $$ = (css) => document.querySelectorAll(css);
export const page = document.body.dataset;

export function make(tag, { dataset = {}, ...properties } = {}, ...children) {
	const element = Object.assign(document.createElement(tag), properties);
	Object.assign(element.dataset, dataset);
	element.append(...children);
	return element;
}

export const row = (term, ...value) => make("div", {}, make("dt", {}, term), make("dd", {}, ...value));

function icon(name) {
	const innerHTML = `<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><use href="#i-${name}"/></svg>`;
	return make("template", { innerHTML }).content.firstChild;
}

export function mutedMark() {
	return make("span", { className: "muted" }, icon("mic-off"), make("span", { className: "offscreen", dataset: { t: "muted" } }, t("muted")));
}

export function tool(iconName, onclick) {
	return furnish(make("button", { type: "button", onclick, dataset: { icon: iconName } }));
}

function furnish(button) {
	const tip = make("span", { className: "tip" });
	button.classList.add("tool");
	if ("tip" in button.dataset) tip.dataset.t = button.dataset.tip || button.dataset.icon;
	button.prepend(icon(button.dataset.icon), tip);
	return button;
}
$$("button[data-icon]").forEach(furnish);

/** `whom` it is about, screen readers say. */
export function setTool(button, iconName, label, whom) {
	button.querySelector("use").setAttribute("href", `#i-${iconName}`);
	button.querySelector(".tip").textContent = label;
	if (whom) button.setAttribute("aria-label", `${label}: ${whom}`);
}

/** Puts children in place only if their text differs: screen readers read every replacement aloud. */
export function replaceIfNew(element, ...children) {
	const text = children.map((child) => child.textContent ?? child).join("");
	const isNew = element.textContent !== text;
	if (isNew) element.replaceChildren(...children);
	return isNew;
}

export function toast(key, values) {
	const line = make("p", {}, ...nodes(key, values));
	$("toasts").append(line);
	if ($("toasts").children.length > MOST_TOASTS) $("toasts").firstElementChild.remove();
	setTimeout(() => line.remove(), TOAST_MS);
}

/** Lets a button copy `text()`, and say so. Insecure pages have only the old way. */
export function copyBy(id, text) {
	const button = $(id);
	button.onclick = async () => {
		let copied = true;
		try {
			await navigator.clipboard.writeText(text());
		} catch {
			const area = make("textarea", { value: text(), className: "offscreen" });
			button.after(area);
			area.select();
			copied = document.execCommand("copy");
			area.remove();
			button.focus();
		}
		button.textContent = t(copied ? "copied" : "copy_failed");
		setTimeout(() => (button.textContent = t(button.dataset.t)), 2_000);
	};
}

/**
 * What this browser remembers: name, lang, microphone, camera, speaker, and in this tab whether camera and microphone
 * shall be on. Nothing else.
 */
export const Store = {
	get(key, store = "localStorage") {
		try {
			return globalThis[store].getItem(`call.${key}`) ?? "";
		} catch {
			return ""; // storage is forbidden, e.g. in a frame
		}
	},
	set(key, value, store = "localStorage") {
		try {
			globalThis[store].setItem(`call.${key}`, value);
		} catch {}
	},
};
