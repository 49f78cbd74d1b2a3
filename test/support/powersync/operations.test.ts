// Checksums and keys made up for tests are those that the real service gives: values found in its storages.
import { serialize } from 'bson'
import { describe, expect, test } from 'vitest'
import { put, remove, sourceKeyOf, subkeyOf, sumOfChecksums, uuid5 } from './operations.ts'

const sourceTable = '6544e389-9293-4531-8fa7-b38331000000'
const r1 = { table: 'lists', id: 'r1', sourceTable }

describe('what the service computes', () => {
  test('keys of rows', () => {
    expect(Buffer.from(serialize({ id: 'r1' })).toString('hex')).toBe('10000000026964000300000072310000')
    expect(sourceKeyOf('r1')).toBe('1e000000056964001000000004384a47fde985544982604259beb3d94700')
    expect(uuid5(serialize({ org: 'acme', project: 'core', user_id: 'user-001' })).toHexString()).toBe(
      '28bf5190-357d-549b-b55d-d070cd60c902',
    )
  })

  test('subkeys', () => {
    expect(subkeyOf(sourceTable, sourceKeyOf('r1'))).toBe(`${sourceTable}/384a47fd-e985-5449-8260-4259beb3d947`)
    expect(subkeyOf(sourceTable, '150000000769640064b7f2a0c3d4e5f60123456700')).toBe(
      '419e6bb9-c04a-5e32-abf6-5aafd93a60d1',
    )
  })

  test('checksums', () => {
    const operations = [
      put(1, r1, '{"id":"r1","name":"a"}'),
      put(2, r1, '{"id":"r1","name":"b \\"quoted\\" 🧵"}'),
      remove(3, r1),
    ]
    expect(operations.map(({ checksum }) => checksum)).toEqual([2484567994, 3258860181, 4243240239])
    expect(sumOfChecksums(operations.slice(0, 2))).toBe(1448460879)
    expect(sumOfChecksums(operations)).toBe(1396733822)
  })
})
