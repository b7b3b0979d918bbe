/** What happened, for a bug report: no names, no chat, no addresses. */

const MOST_LINES = 500;
const LONGEST_LINE = 300;

export const Log = {
	lines: [],
	add(...words) {
		const line = [new Date().toISOString().slice(11, 23), ...words].join(" ").slice(0, LONGEST_LINE);
		Log.lines.push(line);
		if (Log.lines.length > MOST_LINES) Log.lines.shift();
		Log.onchange?.();
	},
	problem: (error) => Log.add(error.name, error.message),
	text() {
		const where = `${location.protocol}//…${location.pathname} secure=${isSecureContext} framed=${globalThis.top !== globalThis}`;
		return [navigator.userAgent, where, new Date().toISOString().slice(0, 10), ...Log.lines].join("\n");
	},
	onchange: null,
};
