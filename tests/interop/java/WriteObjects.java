import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.crypto.Cipher;
import javax.crypto.Mac;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Encrypts objects with the transformations of SunJCE that Amazon's client for Java names, and prints them as JSON.
 *
 * It is no client of Amazon's: it shows what Java means by the names of the wrap algorithms, and it is a second
 * implementation of what the specification says of V3 with raw keys, which no client at hand can write.
 */
public final class WriteObjects {
    private static final String GCM = "AES/GCM/NoPadding";
    private static final String CBC = "AES/CBC/PKCS5Padding";
    private static final int[] SIZES = {0, 16, 100};
    private final SecureRandom random = new SecureRandom();
    private final Map<String, byte[]> aesKeys = new LinkedHashMap<>();
    private final KeyPair rsa;
    private final List<String> objects = new ArrayList<>();

    private WriteObjects() throws GeneralSecurityException {
        for (int size : new int[] {16, 24, 32}) {
            aesKeys.put(size == 32 ? "aes" : "aes" + size, bytes(size));
        }
        KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA");
        generator.initialize(2048);
        rsa = generator.generateKeyPair();
    }

    public static void main(String[] arguments) throws GeneralSecurityException {
        System.out.println(new WriteObjects().all());
    }

    private String all() throws GeneralSecurityException {
        for (int size : SIZES) {
            for (String key : aesKeys.keySet()) {
                v1(key, size);
                v2(key, "AESWrap", GCM, size);
                v2(key, "AES/GCM", GCM, size);
                v3(key, "02", size);
            }
            v1("rsa", size);
            v2("aes", "AESWrap", CBC, size);
            v2("rsa", "RSA/ECB/OAEPWithSHA-256AndMGF1Padding", GCM, size);
            v2("rsa", "RSA/ECB/OAEPWithSHA-256AndMGF1Padding", CBC, size);
            v2("rsa", "RSA-OAEP-SHA1", GCM, size);
            v3("rsa", "22", size);
        }
        StringBuilder keys = new StringBuilder();
        for (Map.Entry<String, byte[]> entry : aesKeys.entrySet()) {
            keys.append(keys.length() == 0 ? "" : ", ").append(text(entry.getKey())).append(": ");
            keys.append(text(base64(entry.getValue())));
        }
        String pem = "-----BEGIN PRIVATE KEY-----\n"
            + Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(rsa.getPrivate().getEncoded())
            + "\n-----END PRIVATE KEY-----\n";
        return "{\"client\": " + text("SunJCE of Java " + System.getProperty("java.version"))
            + ", \"aes_keys\": {" + keys + "}, \"rsa_private_key\": " + text(pem)
            + ", \"objects\": [" + String.join(",\n", objects) + "]}";
    }

    private void v1(String key, int size) throws GeneralSecurityException {
        byte[] dataKey = bytes(32), iv = bytes(16);
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put("x-amz-key", base64(wrap(key, key.equals("rsa") ? "RSA" : "AES", dataKey, CBC)));
        metadata.put("x-amz-iv", base64(iv));
        metadata.put("x-amz-matdesc", "{}");
        metadata.put("x-amz-unencrypted-content-length", Integer.toString(size));
        add("v1", key, "absent", CBC, size, cbc(dataKey, iv, size), metadata);
    }

    private void v2(String key, String wrap, String content, int size) throws GeneralSecurityException {
        byte[] dataKey = bytes(32), iv = bytes(content.equals(GCM) ? 12 : 16);
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put("x-amz-key-v2", base64(wrap(key, wrap, dataKey, content)));
        metadata.put("x-amz-iv", base64(iv));
        metadata.put("x-amz-cek-alg", content);
        metadata.put("x-amz-wrap-alg", wrap);
        metadata.put("x-amz-matdesc", "{}");
        if (content.equals(GCM)) {
            metadata.put("x-amz-tag-len", "128");
        }
        byte[] body = content.equals(GCM) ? gcm(dataKey, iv, new byte[0], size) : cbc(dataKey, iv, size);
        add("v2", key, wrap, content, size, body, metadata);
    }

    private void v3(String key, String wrap, int size) throws GeneralSecurityException {
        byte[] dataKey = bytes(32), messageId = bytes(28), iv = new byte[12];
        java.util.Arrays.fill(iv, (byte) 1);
        byte[] extracted = hmac(messageId, dataKey);
        byte[] bodyKey = java.util.Arrays.copyOf(expand(extracted, "DERIVEKEY"), 32);
        byte[] commitment = java.util.Arrays.copyOf(expand(extracted, "COMMITKEY"), 28);
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put("x-amz-c", "115");
        metadata.put("x-amz-3", base64(wrap(key, wrap.equals("02") ? "AES/GCM" : "RSA-OAEP-SHA1", dataKey, "115")));
        metadata.put("x-amz-w", wrap);
        metadata.put("x-amz-m", "{}");
        metadata.put("x-amz-d", base64(commitment));
        metadata.put("x-amz-i", base64(messageId));
        add("v3", key, wrap, "115", size, gcm(bodyKey, iv, new byte[] {0, 0x73}, size), metadata);
    }

    private byte[] wrap(String key, String algorithm, byte[] dataKey, String content) throws GeneralSecurityException {
        byte[] name = content.getBytes(StandardCharsets.US_ASCII);
        SecretKeySpec wrapped = new SecretKeySpec(dataKey, "AES");
        if (algorithm.startsWith("RSA")) {
            String transformation = switch (algorithm) {
                case "RSA" -> "RSA/ECB/PKCS1Padding";
                case "RSA-OAEP-SHA1" -> "RSA/ECB/OAEPWithSHA-1AndMGF1Padding";
                default -> algorithm;
            };
            Cipher cipher = Cipher.getInstance(transformation);
            if (!algorithm.equals("RSA-OAEP-SHA1")) {
                cipher.init(Cipher.WRAP_MODE, rsa.getPublic());
                return cipher.wrap(wrapped);
            }
            cipher.init(Cipher.ENCRYPT_MODE, rsa.getPublic());
            return cipher.doFinal(joined(new byte[] {32}, dataKey, name));
        }
        SecretKeySpec wrapping = new SecretKeySpec(aesKeys.get(key), "AES");
        if (algorithm.equals("AES/GCM")) {
            byte[] iv = bytes(12);
            Cipher cipher = Cipher.getInstance(GCM);
            cipher.init(Cipher.ENCRYPT_MODE, wrapping, new GCMParameterSpec(128, iv));
            cipher.updateAAD(name);
            return joined(iv, cipher.doFinal(dataKey));
        }
        Cipher cipher = Cipher.getInstance(algorithm.equals("AES") ? "AES/ECB/PKCS5Padding" : algorithm);
        cipher.init(Cipher.WRAP_MODE, wrapping);
        return cipher.wrap(wrapped);
    }

    private byte[] cbc(byte[] key, byte[] iv, int size) throws GeneralSecurityException {
        Cipher cipher = Cipher.getInstance(CBC);
        cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(key, "AES"), new IvParameterSpec(iv));
        return cipher.doFinal("x".repeat(size).getBytes(StandardCharsets.US_ASCII));
    }

    private byte[] gcm(byte[] key, byte[] iv, byte[] associated, int size) throws GeneralSecurityException {
        Cipher cipher = Cipher.getInstance(GCM);
        cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(key, "AES"), new GCMParameterSpec(128, iv));
        cipher.updateAAD(associated);
        return cipher.doFinal("x".repeat(size).getBytes(StandardCharsets.US_ASCII));
    }

    /** One block of HKDF-Expand, which is as much as is needed. */
    private static byte[] expand(byte[] extracted, String label) throws GeneralSecurityException {
        byte[] name = label.getBytes(StandardCharsets.US_ASCII);
        return hmac(extracted, joined(new byte[] {0, 0x73}, name, new byte[] {1}));
    }

    private static byte[] hmac(byte[] key, byte[] message) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA512");
        mac.init(new SecretKeySpec(key, "HmacSHA512"));
        return mac.doFinal(message);
    }

    private static byte[] joined(byte[]... pieces) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] piece : pieces) {
            all.writeBytes(piece);
        }
        return all.toByteArray();
    }

    private byte[] bytes(int size) {
        byte[] made = new byte[size];
        random.nextBytes(made);
        return made;
    }

    private void add(
            String version, String key, String wrap, String content, int size, byte[] body, Map<String, String> metadata) {
        StringBuilder fields = new StringBuilder();
        for (Map.Entry<String, String> entry : metadata.entrySet()) {
            fields.append(fields.length() == 0 ? "" : ", ").append(text(entry.getKey())).append(": ");
            fields.append(text(entry.getValue()));
        }
        String name = (version + "-" + key + "-" + wrap + "-" + content + "-" + size).replace('/', '_');
        objects.add("{\"key\": " + text(name) + ", \"version\": " + text(version) + ", \"wrap\": " + text(key)
            + ", \"size\": " + size + ", \"context\": {}, \"body\": " + text(base64(body))
            + ", \"metadata\": {" + fields + "}, \"instruction_file\": null}");
    }

    private static String base64(byte[] raw) {
        return Base64.getEncoder().encodeToString(raw);
    }

    private static String text(String value) {
        return '"' + value.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + '"';
    }
}
