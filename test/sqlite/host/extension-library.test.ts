// Where the extension comes from: in checkouts made for the test, with a build that only leaves a trace.
import { execFile } from 'node:child_process'
import { chmod, cp, mkdir, mkdtempDisposable, readFile, symlink, unlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const repository = fileURLToPath(new URL('../../../', import.meta.url))
const suffix = process.platform === 'win32' ? 'dll' : process.platform === 'darwin' ? 'dylib' : 'so'

interface Found {
  readonly library?: string
  readonly code?: string
  readonly message?: string
  readonly hint?: string
  readonly told: readonly string[]
}

/** A checkout, or with `native: false` an installed package. */
async function checkout(parent: string, { native = true } = {}) {
  const root = join(parent, native ? 'checkout' : 'installed')
  for (const part of ['src/core', 'src/database', 'src/sqlite/policy', 'src/sqlite/host/extension-library.ts'])
    await cp(join(repository, part), join(root, part), { recursive: true })
  await symlink(join(repository, 'node_modules'), join(root, 'node_modules'))
  await writeFile(join(root, 'package.json'), '{"type":"module"}')
  const bin = join(root, 'bin')
  await mkdir(bin)
  if (native) {
    await mkdir(join(root, 'native/src'), { recursive: true })
    await writeFile(join(root, 'native/Cargo.toml'), '')
    await writeFile(join(root, 'native/src/lib.rs'), '')
    await mkdir(join(root, 'scripts'))
    await writeFile(
      join(root, 'scripts/build-native.mjs'),
      `import { appendFileSync, mkdirSync, existsSync, writeFileSync } from 'node:fs'
       await new Promise((done) => setTimeout(done, 500))
       appendFileSync('builds', 'x')
       if (existsSync('broken')) { console.error('warning: hm\\nerror[E0308]: mismatched types\\n  more'); process.exit(101) }
       mkdirSync('native/target/release', { recursive: true })
       writeFileSync('native/target/release/tamp.${suffix}', 'library')`,
    )
    await writeFile(join(bin, 'cargo'), '#!/bin/sh\necho cargo 1.0\n')
    await chmod(join(bin, 'cargo'), 0o755)
  }
  await writeFile(
    join(root, 'ask.ts'),
    `import { extensionLibrary } from './src/sqlite/host/extension-library.ts'
     const told: string[] = []
     const found = await extensionLibrary({ tell: (sentence) => told.push(sentence) })
       .then((library) => ({ library }), ({ code, message, hint }) => ({ code, message, hint }))
     console.log(JSON.stringify({ ...found, told }))`,
  )
  const ask = async (env: Record<string, string> = {}): Promise<Found> => {
    const { promise, resolve, reject } = Promise.withResolvers<Found>()
    execFile(process.execPath, ['ask.ts'], { cwd: root, env: { PATH: bin, ...env } }, (error, out) =>
      error === null ? resolve(JSON.parse(out) as Found) : reject(error),
    )
    return promise
  }
  const builds = (): Promise<number> =>
    readFile(join(root, 'builds'), 'utf8').then(
      (text) => text.length,
      () => 0,
    )
  return { root, bin, ask, builds, library: join(root, `native/target/release/tamp.${suffix}`) }
}

test('in a checkout it is built once for all who ask, and again when a source is younger', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'tamp-library-'))
  const { ask, builds, root, library } = await checkout(directory.path)
  const asked = await Promise.all([ask(), ask(), ask()])
  expect(asked.map((found) => found.library)).toEqual([library, library, library])
  expect(await builds()).toBe(1)
  const told = asked.flatMap((found) => found.told)
  expect(told.filter((sentence) => /Building .* with cargo/.test(sentence))).toHaveLength(1)
  expect(await ask()).toEqual({ library, told: [] })

  for (const source of ['src/sqlite/policy/names.ts', 'native/src/lib.rs']) {
    const before = await builds()
    const later = new Date(Date.now() + 1)
    await utimes(join(root, source), later, later)
    expect((await ask()).told).toEqual([expect.stringMatching(/sources have changed/)])
    expect((await ask()).told).toEqual([])
    expect(await builds()).toBe(before + 1)
  }
  await utimes(join(root, 'src/sqlite/host/extension-library.ts'), new Date(), new Date())
  expect((await ask()).told).toEqual([])
})

test('a build that fails, and a machine without cargo: one sentence, and what to do', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'tamp-library-'))
  const { ask, bin, root, library } = await checkout(directory.path)
  await writeFile(join(root, 'broken'), '')
  expect(await ask()).toMatchObject({
    code: 'no-library',
    message: 'The SQLite extension could not be built: error[E0308]: mismatched types.',
    hint: expect.stringMatching(/npm run build:native/),
  })
  await unlink(join(root, 'broken'))
  await unlink(join(bin, 'cargo'))
  expect(await ask()).toMatchObject({
    code: 'no-library',
    message: expect.stringMatching(/there is no cargo/),
    hint: expect.stringMatching(/Install Rust .* compresses none\.$/),
  })
  // What was built earlier, or elsewhere, is taken as it is.
  await mkdir(dirname(library), { recursive: true })
  await writeFile(library, '')
  expect(await ask()).toEqual({ library, told: [] })
})

test('an installed package has it in the package for its platform', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'tamp-library-'))
  const { ask, root } = await checkout(directory.path, { native: false })
  expect(await ask()).toMatchObject({
    code: 'no-library',
    message: expect.stringMatching(/no prebuilt SQLite extension/),
  })
  const { message } = await ask()
  const platform = /for (\S+)\.$/.exec(message!)![1]!
  const beside = join(directory.path, 'node_modules', `tamp-sqlite-${platform}`)
  await mkdir(beside, { recursive: true })
  await writeFile(join(beside, 'package.json'), '{}')
  await writeFile(join(beside, `tamp.${suffix}`), '')
  expect(await ask()).toEqual({ library: join(beside, `tamp.${suffix}`), told: [] })
  expect(await ask({ TAMP_SQLITE_EXTENSION: 'ask.ts' })).toEqual({ library: join(root, 'ask.ts'), told: [] })
  expect(await ask({ TAMP_SQLITE_EXTENSION: 'nothing.so' })).toMatchObject({
    code: 'no-library',
    message: expect.stringMatching(/nothing\.so, which TAMP_SQLITE_EXTENSION names, does not exist/),
  })
})
