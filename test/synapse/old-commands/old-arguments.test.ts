// The flags of the old commands: their spellings, their defaults, and what is refused, without repeating what may be a secret.
import { describe, expect, test } from 'vitest'
import { TampError } from '../../../src/core/errors.ts'
import { parseCompressChunks, parseCompressState } from '../../../src/synapse/old-commands/arguments.ts'

const url = 'postgresql://someone:never-to-be-seen@127.0.0.1:1/db'

test('synapse_compress_state: the defaults are the old ones', () => {
  expect(parseCompressState(['-p', url, '-r', '!r:x'])).toEqual({
    connection: url,
    room: '!r:x',
    above: undefined,
    groups: undefined,
    upTo: undefined,
    minSavedRows: undefined,
    plan: { levels: [100, 50, 25] },
    file: undefined,
    transactions: false,
    graphs: false,
    commit: false,
    verify: true,
  })
})

test('synapse_compress_state: every flag, apart, joined, with and without an equals sign', () => {
  const all = {
    connection: 'host=/run/postgresql dbname=synapse',
    room: '!r:x',
    above: 5,
    groups: 10,
    upTo: 99,
    minSavedRows: -7,
    plan: { levels: [3, 0] },
    file: 'out.sql',
    transactions: true,
    graphs: true,
    commit: true,
    verify: false,
  }
  const { connection } = all
  expect(
    parseCompressState(
      ['-p', connection, '-r', '!r:x', '-b', '5', '-n', '10', '-s', '99', '-m', '-7', '-l', '3,0'].concat([
        '-o',
        'out.sql',
        '-t',
        '-g',
        '-c',
        '-N',
      ]),
    ),
  ).toEqual(all)
  expect(
    parseCompressState([`-p${connection}`, '-r=!r:x', '-b5', '-n=10', '-s99', '-m=-7', '-l=3,0', '-tgcNoout.sql']),
  ).toEqual(all)
  expect(parseCompressState(['-p', url, '-r', '!r:x', '--plan=best'])).toMatchObject({ plan: 'best' })
})

test('synapse_auto_compressor', () => {
  expect(parseCompressChunks(['-p', url, '-c', '500', '-n', '100'])).toEqual({
    connection: url,
    chunkSize: 500,
    chunks: 100,
    plan: { levels: [100, 50, 25] },
  })
  expect(parseCompressChunks(['-p', url, '-c500', '-n0', '-l', '9', '--plan', 'levels'])).toMatchObject({
    chunks: 0,
    plan: { levels: [9] },
  })
})

describe('P7: wrong use is a sentence that names the flag, and quotes nothing', () => {
  const required = ['-p', url, '-r', '!r:x']
  test.each([
    [['-r', '!r:x'], '-p'],
    [['-p', url], '-r'],
    [['-p', '-r', '!r:x'], '-p'],
    [[...required, '-t'], '-o'],
    [[...required, '-l', '1,x'], '-l'],
    [[...required, '-l', ''], '-l'],
    [[...required, '-n', 'many'], '-n'],
    [[...required, '-n', '-1'], '-n'],
    [[...required, '-m'], '-m'],
    [[...required, '-b', url], '-b'],
    [[...required, '-s', '1.5'], '-s'],
    [[...required, '-x'], '-x'],
    [[...required, '-p', url], '-p'],
    [[...required, '--plan', 'better'], '--plan'],
    [[...required, '--plan', 'best', '-l', '9'], '--plan'],
    [[...required, `--connection=${url}`], 'option'],
    [[...required, url], 'flag'],
  ])('synapse_compress_state %j', (args, about) => {
    expectRefusal(() => parseCompressState(args), about)
  })

  test.each([
    [['-p', url, '-n', '1'], '-c'],
    [['-p', url, '-c', '0', '-n', '1'], '-c'],
    [['-p', url, '-c', '5'], '-n'],
    [['-p', url, '-c', '5', '-n', '1', '-r', '!r:x'], '-r'],
  ])('synapse_auto_compressor %j', (args, about) => {
    expectRefusal(() => parseCompressChunks(args), about)
  })

  function expectRefusal(parse: () => unknown, about: string): void {
    let refusal: unknown
    try {
      parse()
    } catch (error) {
      refusal = error
    }
    expect(refusal).toBeInstanceOf(TampError)
    const { code, message, hint } = refusal as TampError
    expect(code).toBe('usage')
    expect(message).toContain(about)
    expect(message).toMatch(/^\S.*\.$/)
    expect(message + hint!).not.toContain('never-to-be-seen')
  }
})
