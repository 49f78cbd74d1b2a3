// The name under which a client keeps a row of a bucket: `{source table}/{uuid}`, or one UUID made of both where the key is none.
// A REMOVE is hashed over it. (Rules and test values: service, utils/bson; UUIDv5 as in RFC 9562.)
import { createHash } from 'node:crypto'
import { Binary, deserialize, serialize } from 'bson'

const namespace = Buffer.from('a396dd9109fc4017a28d3df722f651e9', 'hex')

/**
 * @param sourceKey BSON of `{id}`
 * @returns undefined where the key is not of that form
 */
export function subkey(sourceTable: string, sourceKey: Uint8Array): string | undefined {
  let id: unknown
  try {
    // Types are kept as they are stored: an int32 must not come back as a double.
    const key = deserialize(sourceKey, { promoteValues: false, bsonRegExp: true })
    if (Object.keys(key).length !== 1 || !('id' in key)) return undefined
    id = key['id']
    if (id instanceof Binary && id.sub_type === Binary.SUBTYPE_UUID && id.position === 16)
      return `${sourceTable}/${dashed(Buffer.from(id.buffer).toString('hex'))}`
    return dashed(uuidV5(serialize({ table: sourceTable, id })))
  } catch {
    return undefined
  }
}

/** Checksum of a REMOVE: the first four bytes of SHA-256, little endian. */
export function removeChecksum(subkeyOfRow: string): number {
  return createHash('sha256').update(`delete.${subkeyOfRow}`).digest().readUInt32LE(0)
}

function uuidV5(name: Uint8Array): string {
  const hash = createHash('sha1').update(namespace).update(name).digest().subarray(0, 16)
  hash[6] = (hash[6]! & 0x0f) | 0x50
  hash[8] = (hash[8]! & 0x3f) | 0x80
  return hash.toString('hex')
}

function dashed(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
