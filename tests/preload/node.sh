# Node.js: JSON, large buffers, compression in its thread pool, and worker threads.
. "$(dirname "$0")/common.sh"
need node

cat >program.js <<'END'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const { createHash } = require('crypto');
const zlib = require('zlib');
const { promisify } = require('util');

function work(seed) {
    const list = [];
    for (let i = 0; i < 20000; i++)
        list.push({ id: i, text: 'x'.repeat(i % 100), number: (i * seed) % 1009 });
    const text = JSON.stringify(list);
    if (JSON.stringify(JSON.parse(text)) !== text)
        throw new Error('JSON round trip');
    const buffers = [];
    for (let i = 0; i < 300; i++)
        buffers[i % 20] = Buffer.alloc(1000 + i * 4000, (i * seed) % 251);
    return createHash('sha256').update(text).update(Buffer.concat(buffers)).digest('hex');
}

async function main() {
    console.log(work(1));
    const data = Buffer.from(JSON.stringify(process.versions.node.split('.').length).repeat(500000));
    const packed = await Promise.all([1, 3, 6].map((level) => promisify(zlib.deflate)(data, { level })));
    for (const one of packed) {
        const unpacked = await promisify(zlib.inflate)(one);
        console.log(one.length, unpacked.equals(data));
    }
    const workers = [2, 3, 4].map((seed) => new Promise((resolve, reject) => {
        new Worker(__filename, { workerData: seed }).on('message', resolve).on('error', reject);
    }));
    console.log((await Promise.all(workers)).join('\n'));
}

if (isMainThread)
    main();
else
    parentPort.postMessage(work(workerData));
END

same_output node node program.js
[ "$(wc -l <plain.output)" = 7 ] || fail "the program printed too little"
passed
