// Signs in to a running Venom with the official MCP client for TypeScript, as apps that are built on it
// do. sign_in.py starts this with the folder in which the client is installed and the server's URL, and
// plays the owner: a line {"visit": address, ...choices} sends the owner's browser to an address, and the
// line that comes back on stdin is where it was led; {"revoke": true} ends every grant. All other lines
// are for people: one per check, and "N passed, N failed" at the end.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const [folder, origin] = process.argv.slice(2);
const require = createRequire(join(folder, 'package.json'));
const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { UnauthorizedError } = require('@modelcontextprotocol/sdk/client/auth.js');

const READING = ['get_memory', 'list_memories', 'list_spaces', 'search_memory', 'spawn_venom'];
const KNOWN_CLIENT = 'https://vscode.dev/oauth/client-metadata.json';
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function ask(what) {
    console.log(JSON.stringify(what));
    return (await lines.next()).value;
}

/** An app with the client in it. What it keeps and what it does on the wire can be looked at. */
class App {
    static registered; // The first app's registration: a server takes a few a minute from one address.
    choices = {}; // What the owner will choose on the consent page.
    asked = []; // The addresses that the owner was sent to.
    sent = []; // 'POST /token 200' and the like.
    client = App.registered;
    redirectUrl = 'http://127.0.0.1:39118/';

    get clientMetadata() {
        return { client_name: 'TypeScript app', redirect_uris: [this.redirectUrl] };
    }
    state = () => (this.stateSent = `${randomUUID()}+/==`);
    clientInformation = () => this.client;
    saveClientInformation = client => void (this.client = client);
    tokens = () => this.kept;
    saveTokens = tokens => void (this.kept = tokens);
    saveCodeVerifier = verifier => void (this.verifier = verifier);
    codeVerifier = () => this.verifier;
    invalidateCredentials = () => void (this.kept = undefined);

    async redirectToAuthorization(url) {
        this.asked.push(url.searchParams);
        const answer = await ask({ visit: String(url), ...this.choices });
        assert.ok(answer.startsWith(`${this.redirectUrl}?`), `the answer went to ${answer}`);
        this.answer = new URL(answer).searchParams;
        assert.equal(this.answer.get('iss'), origin);
        assert.equal(this.answer.get('state'), this.stateSent);
    }

    async fetch(url, options) {
        const response = await fetch(url, options);
        this.sent.push(`${options?.method ?? 'GET'} ${new URL(url).pathname} ${response.status}`);
        return response;
    }

    async connect() {
        const take = (url, options) => this.fetch(url, options);
        for (let attempt = 0; ; attempt += 1) {
            const options = { authProvider: this, fetch: take };
            this.transport = new StreamableHTTPClientTransport(new URL(`${origin}/mcp`), options);
            this.mcp = new Client({ name: 'sign_in.mjs', version: '1' });
            try {
                return await this.mcp.connect(this.transport);
            } catch (error) {
                if (attempt > 0 || !(error instanceof UnauthorizedError)) throw error;
                await this.finish();
            }
        }
    }

    /** What an app does when its owner is back from the browser. */
    async finish() {
        const code = this.answer.get('code');
        if (!code) throw new Error(`denied: ${this.answer.get('error')}`);
        await this.transport.finishAuth(code);
    }

    async toolNames() {
        return (await this.mcp.listTools()).tools.map(tool => tool.name).sort();
    }

    async call(name, args) {
        const result = await this.mcp.callTool({ name, arguments: args });
        assert.ok(!result.isError, JSON.stringify(result.content));
        return result.structuredContent;
    }

    async store() {
        const content = `The ferry to Læsø leaves at seven. ${randomUUID()}`;
        const stored = await this.call('store_memory', { content });
        const found = await this.call('search_memory', { query: content, limit: 20 });
        assert.ok(found.results.some(memory => memory.memory_id === stored.memory_id), 'what was stored is not found');
    }

    count(step) {
        return this.sent.filter(it => it === step).length;
    }
}

const checks = {
    async an_app_signs_in(app) {
        app.client = undefined;
        await app.connect();
        await app.store();
        const steps = app.sent.filter(step => !step.includes(' /mcp ') || step.endsWith(' 401'));
        const discovery = [
            'GET /.well-known/oauth-protected-resource/mcp 200',
            'GET /.well-known/oauth-authorization-server 200',
        ];
        const expected = ['POST /mcp 401', ...discovery, 'POST /register 201', ...discovery, 'POST /token 200'];
        assert.deepEqual(steps, expected);
        assert.equal(app.asked.length, 1);
        assert.equal(app.asked[0].get('resource'), `${origin}/mcp`);
        assert.equal(app.kept.scope, 'read write');
        App.registered = app.client;
    },

    async an_app_whose_document_is_known_need_not_register(app) {
        app.client = undefined;
        app.clientMetadataUrl = KNOWN_CLIENT;
        await app.connect();
        await app.store();
        assert.equal(app.asked[0].get('client_id'), KNOWN_CLIENT);
        assert.equal(app.sent.filter(step => step.includes('/register')).length, 0);
    },

    async a_token_that_is_no_longer_good_is_refreshed(app) {
        await app.connect();
        const before = app.kept;
        app.kept = { ...before, access_token: 'venom_at_expired' };
        await app.store();
        assert.equal(app.asked.length, 1);
        assert.equal(app.count('POST /token 200'), 2);
        assert.notEqual(app.kept.refresh_token, before.refresh_token);
        assert.equal(app.kept.scope, 'read write');
    },

    async an_app_that_may_only_read(app) {
        app.choices = { rights: 'read' };
        await app.connect();
        assert.equal(app.kept.scope, 'read');
        assert.deepEqual(await app.toolNames(), READING);
        // This client answers "insufficient scope" by refreshing, gets the same rights, and gives the call up.
        await assert.rejects(app.call('store_memory', { content: 'refused: this app may only read' }), { code: 403 });
        assert.equal(app.asked.length, 1);
        await app.call('search_memory', { query: 'ferry' });
    },

    async more_rights_come_with_a_new_consent(app) {
        app.choices = { rights: 'read' };
        await app.connect();
        app.choices = { rights: 'write' };
        app.kept = { ...app.kept, refresh_token: undefined }; // So that it asks the owner.
        await assert.rejects(app.call('store_memory', { content: 'refused: not yet' }), UnauthorizedError);
        assert.ok(app.asked[1].get('scope').split(' ').includes('write'));
        await app.finish();
        assert.equal(app.kept.scope, 'read write');
        await app.store();
    },

    async a_no_reaches_the_app(app) {
        app.choices = { decision: 'deny' };
        await assert.rejects(app.connect(), { message: 'denied: access_denied' });
        assert.equal(app.kept, undefined);
    },

    async a_grant_that_is_revoked_ends_at_once(app) {
        await app.connect();
        await app.store();
        await ask({ revoke: true });
        await assert.rejects(app.call('search_memory', { query: 'ferry' }), UnauthorizedError);
        assert.equal(app.count('POST /token 400'), 1);
        await app.finish();
        await app.store();
        assert.equal(app.asked.length, 2);
    },
};

let passed = 0;
let failed = 0;
for (const [name, check] of Object.entries(checks)) {
    const app = new App();
    try {
        await check(app);
        passed += 1;
        console.log(`ok   typescript: ${name}`);
    } catch (error) {
        failed += 1;
        console.log(`FAIL typescript: ${name}: ${String(error?.message ?? error).replaceAll('\n', ' ').slice(0, 400)}`);
    } finally {
        await app.mcp?.close();
    }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
