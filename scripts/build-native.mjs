// Builds the loadable extension: bundles the policy from TypeScript into native/policy.js, compiles native/ with cargo, and leaves the
// library as native/target/release/tamp.so (.dylib, .dll).
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))
const native = join(root, 'native')
const [prefix, suffix] = { win32: ['', '.dll'], darwin: ['lib', '.dylib'] }[process.platform] ?? ['lib', '.so']

function stop(sentence) {
  process.stderr.write(`${sentence}\n`)
  process.exit(1)
}

async function bundlePolicy() {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['src/sqlite/policy/entry-points.ts'],
    bundle: true,
    write: false,
    // At the top of the script and not in a function of its own, which QuickJS would read twice.
    format: 'cjs',
    banner: { js: 'var module={exports:{}};' },
    footer: { js: 'var tampPolicy=module.exports;' },
    // What QuickJS knows; and nothing of Node.
    target: 'es2023',
    platform: 'neutral',
    legalComments: 'none',
    minify: true,
    logLevel: 'error',
  })
  const file = join(native, 'policy.js')
  const [{ text }] = outputFiles
  // Written only when it changed, so that cargo has nothing to do otherwise.
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text)
}

/** Stops where there is no cargo, or one that is too old: what that would say itself is no help. */
function requireCargo() {
  const install = 'see https://rustup.rs'
  const { error, stdout } = spawnSync('cargo', ['--version'], { encoding: 'utf8' })
  if (error) stop(`The SQLite extension is built with cargo, which is not installed: ${install}.`)
  const [, least] = /^rust-version = "1\.(\d+)"$/m.exec(readFileSync(join(native, 'Cargo.toml'), 'utf8'))
  const [version, minor] = /1\.(\d+)\.\d+/.exec(stdout) ?? ['of an unknown version', '0']
  if (Number(minor) < Number(least))
    stop(`The SQLite extension is built with Rust 1.${least} or newer, and this is ${version}: ${install}.`)
}

function compile() {
  const targetFolder = process.env['CARGO_TARGET_DIR'] ?? join(native, 'target')
  const { status } = spawnSync('cargo', ['build', '--release', '--locked', '--quiet'], {
    cwd: native,
    env: { ...process.env, CARGO_TARGET_DIR: targetFolder },
    stdio: 'inherit',
  })
  if (status !== 0) stop('The SQLite extension could not be built; cargo says why above.')
  return join(targetFolder, 'release', `${prefix}tamp_sqlite${suffix}`)
}

/** To where it is looked for, wherever cargo put it. A process that has the old file loaded keeps that. */
function publish(built) {
  const folder = join(native, 'target', 'release')
  mkdirSync(folder, { recursive: true })
  const library = join(folder, `tamp${suffix}`)
  const copy = `${library}.${process.pid}`
  copyFileSync(built, copy)
  renameSync(copy, library)
  return library
}

requireCargo()
process.stdout.write('Building the SQLite extension: bundling its policy, then cargo build --release …\n')
await bundlePolicy().catch((error) => stop(`The policy could not be bundled: ${error.message}`))
process.stdout.write(`${publish(compile())}\n`)
