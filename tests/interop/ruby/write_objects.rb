# frozen_string_literal: true

# Writes one object in every form that Amazon's S3 encryption clients for Ruby know, and prints what it wrote as JSON.
# It reads its settings as JSON from standard input; see record.py in this folder, which runs it.

require 'json'
require 'base64'
require 'openssl'
require 'aws-sdk-s3'
require 'aws-sdk-kms'

settings = JSON.parse($stdin.read)
common = { region: 'us-east-1', access_key_id: settings['access_key'], secret_access_key: settings['secret_key'] }
s3 = Aws::S3::Client.new(endpoint: settings['s3_url'], force_path_style: true, **common)
kms = Aws::KMS::Client.new(endpoint: settings['kms_url'], **common)
aes = Base64.strict_decode64(settings['aes_key'])
rsa = OpenSSL::PKey::RSA.new(settings['rsa_private_key'])
bucket = settings['bucket']

first = {
  'aes' => { encryption_key: aes },
  'rsa' => { encryption_key: rsa },
  'kms' => { kms_key_id: settings['kms_key_arn'], kms_client: kms }
}
second = {
  'aes' => { encryption_key: aes, key_wrap_schema: :aes_gcm },
  'rsa' => { encryption_key: rsa, key_wrap_schema: :rsa_oaep_sha1 },
  'kms' => { kms_key_id: settings['kms_key_arn'], kms_client: kms, key_wrap_schema: :kms_context }
}

def maker(version, chosen, place, s3)
  options = { client: s3, envelope_location: place, **chosen }
  return Aws::S3::Encryption::Client.new(**options) if version == 'v1'

  Aws::S3::EncryptionV2::Client.new(
    content_encryption_schema: :aes_gcm_no_padding, security_profile: :v2, **options
  )
end

written = []
{ 'v1' => first, 'v2' => second }.each do |version, wraps|
  wraps.each do |wrap, chosen|
    %i[metadata instruction_file].each do |place|
      client = maker(version, chosen, place, s3)
      sizes = place == :metadata ? settings['sizes'] : [settings['sizes'].last]
      sizes.each do |size|
        key = "#{version}-#{wrap}-#{place}-#{size}"
        context = version == 'v2' && wrap == 'kms' ? { 'tenant' => 'acme' } : {}
        more = context.empty? ? {} : { kms_encryption_context: context }
        client.put_object(bucket: bucket, key: key, body: 'x' * size, metadata: { 'colour' => 'blue' }, **more)
        written << { key: key, version: version, wrap: wrap, place: place, size: size, context: context }
      end
    end
  end
end
puts JSON.generate(written)
