// What a REMOVE is hashed over: values that the service itself has made.
import { serialize } from 'bson'
import { expect, test } from 'vitest'
import { removeChecksum, subkey } from '../../../src/powersync/check/subkey.ts'

const table = '6544e389-9293-4531-8fa7-b38331000000'

test.each([
  ['1e000000056964001000000004384a47fde985544982604259beb3d94700', `${table}/384a47fd-e985-5449-8260-4259beb3d947`],
  ['150000000769640064b7f2a0c3d4e5f60123456700', '419e6bb9-c04a-5e32-abf6-5aafd93a60d1'],
])('%s', (sourceKey, name) => {
  expect(subkey(table, Buffer.from(sourceKey, 'hex'))).toBe(name)
})

test('the checksum of a REMOVE', () => {
  expect(removeChecksum(`${table}/384a47fd-e985-5449-8260-4259beb3d947`)).toBe(4_243_240_239)
})

test('numbers of different types are different keys', () => {
  const int32 = subkey(table, Buffer.from('0d0000001069640005000000' + '00', 'hex'))
  const int64 = subkey(table, Buffer.from('11000000126964000500000000000000' + '00', 'hex'))
  const double = subkey(table, Buffer.from('11000000016964000000000000001440' + '00', 'hex'))
  expect(new Set([int32, int64, double]).size).toBe(3)
  expect(int32).toBe(subkey(table, serialize({ id: 5 })))
})

test.each(['', '00', '0500000000', serialize({ key: 1 }), serialize({ id: 1, more: 2 })])(
  '%s is no key',
  (sourceKey) => {
    expect(subkey(table, typeof sourceKey === 'string' ? Buffer.from(sourceKey, 'hex') : sourceKey)).toBeUndefined()
  },
)
