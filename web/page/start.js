/**
 * Starts the page that a relay serves. From disk, where browsers run no modules, it goes on to the relay on this machine,
 * or says how to start one.
 */
(() => {
	"use strict";
	const modules = document.getElementById("modules");
	if (location.protocol !== "file:") return modules.replaceWith(modules.content);

	const LOOK_MS = 1_000;
	const ANSWER_MS = 5_000;
	const url = new URL(`http://localhost:8080/${location.search}${location.hash}`);
	const port = url.searchParams.get("port");
	if (/^[1-9]\d*$/.test(port)) url.port = port;
	url.searchParams.delete("port");
	const words = {
		nobody: [
			["No relay runs on this computer", `Start one: cargo run. This page then goes on to ${url.origin}.`],
			["本机没有运行服务器", `请运行 cargo run，页面随后转到 ${url.origin}。`],
		],
		stranger: [
			[`Another program answers on port ${url.port}`, "Start the relay on another: cargo run -- --listen localhost:8081. Then add ?port=8081 to this address."],
			[`端口 ${url.port} 上是其他程序`, "请换端口启动服务器：cargo run -- --listen localhost:8081，再在本页地址后加上 ?port=8081。"],
		],
	};
	let lang = navigator.language.startsWith("zh") ? 1 : 0;
	let found = "";
	document.addEventListener("DOMContentLoaded", () => {
		document.getElementById("lang").onclick = () => {
			lang = 1 - lang;
			render();
		};
		render();
		look();
	});

	async function look() {
		const now = await whoAnswers();
		if (now === "relay") return location.replace(url);
		setTimeout(look, LOOK_MS);
		if (now !== found) render((found = now));
	}

	/** Pages from disk may not read an answer, but see whether there is one, and whether it is a picture. */
	async function whoAnswers() {
		const icon = new URL("icon.svg", url);
		try {
			await fetch(icon, { mode: "no-cors", signal: AbortSignal.timeout(ANSWER_MS) });
		} catch {
			return "nobody";
		}
		const image = Object.assign(new Image(), { src: icon });
		return image.decode().then(() => "relay", () => "stranger");
	}

	function render() {
		document.documentElement.lang = ["en", "zh-CN"][lang];
		document.getElementById("lang").textContent = ["中文", "English"][lang];
		const box = document.createElement("div");
		Object.assign(box, { id: "disk", className: "notice", hidden: !found });
		Object.assign(box.dataset, { device: "relay", problem: found });
		box.setAttribute("aria-live", "polite");
		["strong", "p"].forEach((tag, at) => (box.appendChild(document.createElement(tag)).textContent = words[found]?.[lang][at]));
		document.getElementById("disk")?.remove();
		document.getElementById("entry").hidden = true;
		document.querySelector("main").append(box);
	}
})();
