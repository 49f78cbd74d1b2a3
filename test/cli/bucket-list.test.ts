// Lists behind options: names of buckets that hold commas and quotes stay whole, op ids come from a list or a file.
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bucketList } from '../../src/cli/bucket-list.ts'
import { opIds } from '../../src/cli/op-id-list.ts'

test.each<[string, readonly string[]]>([
  ['', []],
  [' ', []],
  ['global[]', ['global[]']],
  ['1#global[],1#by_user["u1"]', ['1#global[]', '1#by_user["u1"]']],
  ['1#p["x","y"], 1#global[]', ['1#p["x","y"]', '1#global[]']],
  ['1#p["acme, inc","x\\"y],["],b[]', ['1#p["acme, inc","x\\"y],["]', 'b[]']],
  ['1#p[["a,b",[1,2]],3],b[]', ['1#p[["a,b",[1,2]],3]', 'b[]']],
  ['1#p["o\'brien","\\\\back\\\\"],b[]', ['1#p["o\'brien","\\\\back\\\\"]', 'b[]']],
])('%s', (text, names) => {
  expect(bucketList(text)).toEqual(names)
})

test.each<[string, RegExp]>([
  ['global', /full names of buckets/],
  ['global[],by_user', /full names of buckets/],
  ['a[],,b[]', /nothing between two of its commas/],
  ['a[],', /nothing between two of its commas/],
  ['a["x],b[]', /not closed/],
  ['a[[1],b[]', /not closed/],
  ['postgresql://u:secret@h/d', /a connection was given/],
])('%s is refused', (text, message) => {
  expect(() => bucketList(text)).toThrow(message)
})

test('whatever the parameters are, a list of names comes back as it was', () => {
  const name = fc.tuple(fc.stringMatching(/^\d#[a-z_|0-9]{1,8}$/), fc.array(fc.jsonValue(), { maxLength: 3 }))
  fc.assert(
    fc.property(fc.array(name, { maxLength: 4 }), (buckets) => {
      const names = buckets.map(([definition, parameters]) => definition + JSON.stringify(parameters))
      expect(bucketList(names.join(','))).toEqual(names)
    }),
  )
})

test('op ids from a list or a file, ascending, each once; anything else is refused', async () => {
  expect(opIds('30,10, 20,10')).toEqual([10, 20, 30])
  await using temporary = await mkdtempDisposable(join(tmpdir(), 'tamp-op-ids-'))
  const file = join(temporary.path, 'checkpoints.txt')
  await writeFile(file, '5\n7, 6\n\n')
  expect(opIds(file)).toEqual([5, 6, 7])
  await writeFile(file, '5\nsix\n')
  expect(() => opIds(file)).toThrow(/something else than op ids/)
  for (const text of ['', ',', '99999999999999999']) expect(() => opIds(text), text).toThrow()
  expect(() => opIds(join(temporary.path, 'none'))).toThrow(/no such file/)
  expect(() => opIds(temporary.path)).toThrow(/EISDIR/)
})
