# frozen_string_literal: true

# Reads objects with Amazon's S3 encryption client for Ruby, and prints the SHA-256 of each content as JSON.
# It reads its settings as JSON from standard input; see check_ours.py in this folder, which runs it.

require 'json'
require 'base64'
require 'digest'
require 'openssl'
require 'aws-sdk-s3'
require 'aws-sdk-kms'

settings = JSON.parse($stdin.read)
common = { region: 'us-east-1', access_key_id: settings['access_key'], secret_access_key: settings['secret_key'] }
s3 = Aws::S3::Client.new(endpoint: settings['s3_url'], force_path_style: true, **common)
kms = Aws::KMS::Client.new(endpoint: settings['kms_url'], **common)
# Debian's aws-sdk-kms is older than KeyId of Decrypt, which the client would name otherwise.
any_key = :kms_allow_decrypt_with_any_cmk
keys = {
  'aes' => { encryption_key: Base64.strict_decode64(settings['aes_key']), key_wrap_schema: :aes_gcm },
  'rsa' => { encryption_key: OpenSSL::PKey::RSA.new(settings['rsa_private_key']), key_wrap_schema: :rsa_oaep_sha1 },
  'kms' => { kms_key_id: any_key, kms_client: kms, key_wrap_schema: :kms_context }
}

found = settings['objects'].to_h do |object|
  place = object['instruction_file'] ? :instruction_file : :metadata
  client = Aws::S3::EncryptionV2::Client.new(
    client: s3, envelope_location: place, content_encryption_schema: :aes_gcm_no_padding, security_profile: :v2,
    **keys[object['wrap']]
  )
  more = object['context'].empty? ? {} : { kms_encryption_context: object['context'] }
  body = client.get_object(bucket: settings['bucket'], key: object['key'], **more).body.read
  [object['key'], Digest::SHA256.hexdigest(body)]
end
puts JSON.generate(found)
