// An identity provider as people run it, which does what the lines on its stdin say, and answers each on stdout.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Provider } from "oidc-provider";

const SECRET = "a-secret-of-the-client-which-nobody-else-knows";
const PAGE = "https://app.example/back";

let handler;
const server = createServer((request, response) => handler(request, response));
await new Promise((listens) => server.listen(0, "127.0.0.1", listens));
const issuer = `http://127.0.0.1:${server.address().port}`;

/** Serves with a new key, and without the last one. */
function serve(kid) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const client = { client_id: "call-app", client_secret: SECRET, redirect_uris: [PAGE] };
  const provider = new Provider(issuer, {
    clients: [{ ...client, grant_types: ["client_credentials", "authorization_code"] }],
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" }] },
    cookies: { keys: ["a key of cookies"] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    pkce: { required: () => false },
    ttl: { AccessToken: 600, ClientCredentials: 600, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, audience) => ({
          audience,
          scope: "join",
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  });
  handler = provider.callback();
}

async function token(parameters) {
  const authorization = `Basic ${Buffer.from(`call-app:${SECRET}`).toString("base64")}`;
  const body = new URLSearchParams(parameters);
  const response = await fetch(`${issuer}/token`, { method: "POST", headers: { authorization }, body });
  const answer = await response.json();
  if (!response.ok) throw new Error(JSON.stringify(answer));
  return answer;
}

/** The id token of a person who logs in on the provider's pages and agrees, as a browser does it. */
async function login(name) {
  const cookies = new Map();
  const query = new URLSearchParams({
    client_id: "call-app",
    redirect_uri: PAGE,
    response_type: "code",
    scope: "openid",
    nonce: "n",
  });
  let url = new URL(`${issuer}/auth?${query}`);
  let form;
  for (let steps = 0; steps < 12; steps += 1) {
    const cookie = [...cookies].map(([key, value]) => `${key}=${value}`).join("; ");
    const method = form ? "POST" : "GET";
    const response = await fetch(url, { method, headers: { cookie }, body: form, redirect: "manual" });
    for (const line of response.headers.getSetCookie()) {
      const [, key, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value) cookies.set(key, value);
      else cookies.delete(key);
    }
    form = undefined;
    const location = response.headers.get("location");
    if (location?.startsWith(PAGE)) {
      const code = new URL(location).searchParams.get("code");
      return (await token({ grant_type: "authorization_code", code, redirect_uri: PAGE })).id_token;
    }
    if (location) {
      url = new URL(location, url);
      continue;
    }
    // A page with a form: who it is, and then whether it agrees.
    const prompt = /name="prompt" value="(\w+)"/.exec(await response.text())?.[1];
    if (!prompt) throw new Error(`no form at ${url}`);
    form = new URLSearchParams({ prompt, login: name, password: "any" });
  }
  throw new Error("the login does not end");
}

async function answer(line) {
  const [word, argument] = line.split(" ");
  if (word === "service") return (await token({ grant_type: "client_credentials", resource: argument, scope: "join" })).access_token;
  if (word === "person") return login(argument);
  serve(argument);
  return "done";
}

serve("first");
console.log(issuer);
for await (const line of createInterface({ input: process.stdin })) console.log(await answer(line));
process.exit();
