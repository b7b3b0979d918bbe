/** What the oldest browsers lack: APIs by name, and syntax and methods that came after ES2022. */
import compat from "eslint-plugin-compat";
import es from "eslint-plugin-es-x";
import browsers from "./browsers.mjs";

/** What some lack, and the page does without there. */
const optional = [
	"document.featurePolicy", // an old name, beside the new one
	"document.pictureInPictureElement", "document.exitPictureInPicture", // the button is there where they are
	"navigator.connection", // tells of a new network early
];

export default [
	es.configs["flat/no-new-in-es2023"],
	es.configs["flat/no-new-in-es2024"],
	es.configs["flat/no-set-methods"],
	{
		languageOptions: { ecmaVersion: "latest", sourceType: "module" },
		plugins: { compat },
		settings: { browsers, polyfills: optional, "es-x": { aggressive: true } },
		rules: { "compat/compat": "error", "es-x/no-array-fromasync": "error" },
	},
];
