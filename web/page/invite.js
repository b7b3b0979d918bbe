import { $, copyBy, make, toast } from "./dom.js";
import { Log } from "./log.js";
import { drawQr, qrCode } from "./qr.js";
import { nodes, t } from "./text.js";

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

let site = { lan: [], tokens: false };

export async function learnSite() {
	try {
		site = { ...site, ...(await (await fetch("site.json")).json()) };
	} catch (error) {
		Log.problem(error);
	}
}

function bases() {
	const here = new URL(".", location).href;
	if (!LOOPBACK.test(location.hostname)) return [here];
	return [...site.lan, here];
}

export function inviteLink(room, base = bases()[0]) {
	return new URL(`?${new URLSearchParams({ room })}`, base).href;
}

export function showInvite(room) {
	const all = bases();
	$("link-base").replaceChildren(...all.map((base) => make("option", { value: base }, new URL(base).host)));
	$("link-bases").hidden = all.length < 2;
	$("link-base").onchange = () => show(room, $("link-base").value);
	show(room, all[0]);
	$("invite").showModal();
	$("link").select();
}

function show(room, base) {
	const url = inviteLink(room, base);
	const { hostname, href } = new URL(base);
	$("link").value = url;
	$("link-local").hidden = !LOOPBACK.test(hostname);
	const isLan = site.lan.includes(base);
	$("link-lan").hidden = !isLan;
	const trust = new URL("trust", href.replace(/^https:/, "http:")).href;
	if (isLan) $("link-lan").replaceChildren(...nodes("link_lan", { trust }));
	$("link-token").hidden = !site.tokens;
	$("link-send").hidden = !navigator.share;
	$("link-send").onclick = () => navigator.share({ title: t("app"), url }).catch(() => {});
	const code = qrCode(url);
	$("qr").toggleAttribute("hidden", !code);
	if (code) drawQr($("qr"), code);
}

export function readyInvite(room) {
	copyBy("link-copy", () => $("link").value);
	copyBy("alone-copy", () => {
		if (site.tokens) toast("link_token");
		return inviteLink(room());
	});
}

export function inviteHint() {
	return site.tokens ? "link_token" : "alone_text";
}
