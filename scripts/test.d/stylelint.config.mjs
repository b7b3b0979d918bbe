/** What the oldest browsers lack. */
import browsers from "./browsers.mjs";

export default {
	plugins: ["stylelint-no-unsupported-browser-features"],
	rules: { "plugin/no-unsupported-browser-features": [true, { browsers, ignorePartialSupport: true }] },
};
