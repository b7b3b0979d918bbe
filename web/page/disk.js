/**
 * The page opened from disk: it goes on to the relay on this machine, or says how to start one. A classic script, and
 * alone, because browsers run no modules from disk.
 */
(() => {
	"use strict";
	if (location.protocol !== "file:") return;

	const LOOK_MS = 1_000;
	const ANSWER_MS = 5_000;
	/** [what, in English, in Chinese] */
	const WORDS = {
		nobody: [["No relay runs on this computer", "本机没有运行服务器"], [(url) => `Start one: cargo run. This page then goes on to ${url}.`, (url) => `请运行 cargo run，页面随后转到 ${url}。`]],
		stranger: [
			["Another program answers on this port", "此端口上是其他程序"],
			[
				(_, port) => `It is port ${port}. Start the relay on another (cargo run -- --listen localhost:8081) and add ?port=8081 to this address.`,
				(_, port) => `端口 ${port}。请换端口启动服务器（cargo run -- --listen localhost:8081），并在本页地址后加上 ?port=8081。`,
			],
		],
	};

	let lang = navigator.language.toLowerCase().startsWith("zh") ? 1 : 0;
	let found = "";
	const url = servedUrl(location);
	const words = Object.assign(document.createElement("div"), { id: "disk" });
	words.setAttribute("aria-live", "polite");
	const entry = document.getElementById("entry");
	entry.hidden = true;
	entry.after(words);
	const button = document.getElementById("lang");
	button.onclick = () => {
		lang = 1 - lang;
		render();
	};
	render();
	look();

	/** Where the relay serves this page: on `?port=`, or 8080. */
	function servedUrl({ search, hash }) {
		const served = new URL(`http://localhost:8080/${search}${hash}`);
		const port = served.searchParams.get("port");
		if (/^[1-9]\d{0,4}$/.test(port) && port < 65536) served.port = port;
		served.searchParams.delete("port");
		return served;
	}

	/** Looks until the relay is there, which refuses sockets of pages from disk. */
	async function look() {
		const now = await whoAnswers();
		if (now === "relay") return location.replace(url);
		setTimeout(look, LOOK_MS);
		if (now === found) return;
		found = now;
		render();
	}

	/** Pages from disk may not read an answer, but see whether there is one, and whether it is a picture. */
	async function whoAnswers() {
		const icon = new URL("icon.svg", url);
		try {
			await fetch(icon, { mode: "no-cors", signal: AbortSignal.timeout(ANSWER_MS) });
		} catch {
			return "nobody";
		}
		const image = Object.assign(document.createElement("img"), { src: icon });
		return image.decode().then(() => "relay", () => "stranger");
	}

	function render() {
		document.documentElement.lang = lang ? "zh-CN" : "en";
		button.textContent = lang ? "English" : "中文";
		document.getElementById("title").textContent = lang ? "通话" : "Call";
		if (!found) return;
		const [title, text] = WORDS[found];
		const box = Object.assign(document.createElement("div"), { className: "notice" });
		Object.assign(box.dataset, { device: "relay", problem: found });
		const strong = document.createElement("strong");
		strong.textContent = title[lang];
		const line = document.createElement("p");
		line.textContent = text[lang](url.origin, url.port || "80");
		box.append(strong, line);
		words.replaceChildren(box);
	}
})();
