/** What every part of the page uses. */
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const MOST_LOG_LINES = 500;
const TOAST_MS = 5_000;
const MOST_TOASTS = 3;

const $ = (id) => document.getElementById(id);
const $$ = (css) => document.querySelectorAll(css);
/** The page's state, for the style sheet. */
const page = document.body.dataset;

/** Makes an element with these DOM properties; strings become text. */
function make(tag, { dataset = {}, ...properties } = {}, ...children) {
	const element = Object.assign(document.createElement(tag), properties);
	Object.assign(element.dataset, dataset);
	element.append(...children);
	return element;
}

const row = (term, value) => make("div", {}, make("dt", {}, term), make("dd", {}, value));

/** One of the icons at the top of index.html. */
function icon(name) {
	const svg = document.createElementNS(SVG, "svg");
	const use = document.createElementNS(SVG, "use");
	svg.setAttribute("class", "icon");
	svg.setAttribute("viewBox", "0 0 24 24");
	svg.ariaHidden = true;
	use.setAttribute("href", `#i-${name}`);
	svg.append(use);
	return svg;
}

/** A round button with an icon; its label shows on hover and is read aloud. */
function tool(iconName, onclick) {
	return furnish(make("button", { onclick, dataset: { icon: iconName } }));
}

function furnish(button) {
	const tip = make("span", { className: "tip" });
	button.classList.add("tool");
	if ("tip" in button.dataset) tip.dataset.t = button.dataset.tip || button.dataset.icon;
	button.prepend(icon(button.dataset.icon), tip);
	return button;
}
$$("button[data-icon]").forEach(furnish);

function setTool(button, iconName, label) {
	button.querySelector("use").setAttribute("href", `#i-${iconName}`);
	const tip = button.querySelector(".tip");
	if (tip.textContent !== label) tip.textContent = label;
}

function toast(text) {
	const line = make("p", {}, text);
	$("toasts").append(line);
	if ($("toasts").children.length > MOST_TOASTS) $("toasts").firstElementChild.remove();
	setTimeout(() => line.remove(), TOAST_MS);
}

/** Lets a button copy `text()`, and say so. Insecure pages have only the old way. */
function copyBy(id, text) {
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

/** What this browser remembers: name, lang, microphone, camera, speaker. Nothing else. */
const Store = {
	get(key) {
		try {
			return localStorage.getItem(`call.${key}`) ?? "";
		} catch {
			return ""; // storage is forbidden, e.g. in a frame
		}
	},
	set(key, value) {
		try {
			localStorage.setItem(`call.${key}`, value);
		} catch {}
	},
};

/** What happened, for a bug report: no names, no chat, no addresses. */
const Log = {
	lines: [],
	add(...words) {
		const line = [new Date().toISOString().slice(11, 23), ...words].join(" ").slice(0, 300);
		Log.lines.push(line);
		if (Log.lines.length > MOST_LOG_LINES) Log.lines.shift();
		Log.onchange?.();
	},
	problem: (error) => Log.add(error.name, error.message),
	text() {
		const where = `${location.protocol}//…${location.pathname} secure=${isSecureContext} framed=${globalThis.top !== globalThis}`;
		return [navigator.userAgent, where, new Date().toISOString().slice(0, 10), ...Log.lines].join("\n");
	},
	onchange: null,
};
