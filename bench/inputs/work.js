// JSON, buffers, strings, compression and digests; prints a checksum. Its objects lie in the engine's
// own heap: what malloc gives is buffers, what the compiler, the parser and zlib take.
// Argument: how many rounds.
const { createHash } = require('crypto');
const zlib = require('zlib');

function work(seed) {
    const list = [];
    for (let i = 0; i < 4000; i++)
        list.push({ id: i, text: 'x'.repeat(i % 100), number: (i * seed) % 1009 });
    const text = JSON.stringify(list);
    if (JSON.stringify(JSON.parse(text)) !== text)
        throw new Error('JSON round trip');
    const hash = createHash('sha1');
    const buffers = [];
    for (let i = 0; i < 2000; i++) {
        buffers[i % 50] = Buffer.alloc(100 + (i * 7919) % 20000, (i * seed) % 251);
        if (i % 20 === 0)
            hash.update(Buffer.concat(buffers.slice(0, 8)));
    }
    for (let i = 0; i < 30; i++) {
        const part = Buffer.from(text.slice(i * 1000, i * 1000 + 20000));
        if (!zlib.inflateSync(zlib.deflateSync(part, { level: 1 })).equals(part))
            throw new Error('compression');
    }
    for (let i = 0; i < 40; i++)
        hash.update(String(new Function('x', `return x * ${i} + ${seed}`)(i)));
    return hash.update(text).digest('hex');
}

const hash = createHash('sha1');
for (let seed = 1; seed <= Number(process.argv[2]); seed++)
    hash.update(work(seed));
console.log(hash.digest('hex'));
