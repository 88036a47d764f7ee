import java.nio.charset.StandardCharsets;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.util.Arrays;
import java.util.Base64;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Prints what the Java Cryptography Extension makes of the wrap algorithms and bodies, as one JSON object.
 *
 * wrap_vectors.json is what Java 17 printed. Its RSA key is made for it and protects nothing. To make it anew:
 * java WrapVectors.java > wrap_vectors.json
 */
public class WrapVectors {
    static byte[] counted(int first, int size) {
        byte[] bytes = new byte[size];
        for (int i = 0; i < size; i++) bytes[i] = (byte) (first + i);
        return bytes;
    }

    static String b64(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }

    static void print(String name, byte[] value, boolean last) {
        System.out.println("  \"" + name + "\": \"" + b64(value) + "\"" + (last ? "" : ","));
    }

    static byte[] gcm(byte[] key, byte[] iv, byte[] aad, byte[] plaintext) throws Exception {
        Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
        cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(key, "AES"), new GCMParameterSpec(128, iv));
        if (aad.length > 0) cipher.updateAAD(aad);
        return cipher.doFinal(plaintext);
    }

    static byte[] wrapped(byte[] key, byte[] iv, String content, byte[] dataKey) throws Exception {
        byte[] sealed = gcm(key, iv, content.getBytes(StandardCharsets.UTF_8), dataKey);
        byte[] all = Arrays.copyOf(iv, iv.length + sealed.length);
        System.arraycopy(sealed, 0, all, iv.length, sealed.length);
        return all;
    }

    static byte[] oaepSha1(KeyPair pair, String content, byte[] dataKey) throws Exception {
        byte[] name = content.getBytes(StandardCharsets.UTF_8);
        byte[] block = new byte[1 + dataKey.length + name.length];
        block[0] = (byte) dataKey.length;
        System.arraycopy(dataKey, 0, block, 1, dataKey.length);
        System.arraycopy(name, 0, block, 1 + dataKey.length, name.length);
        Cipher cipher = Cipher.getInstance("RSA/ECB/OAEPPadding");
        cipher.init(Cipher.ENCRYPT_MODE, pair.getPublic());
        return cipher.doFinal(block);
    }

    public static void main(String[] arguments) throws Exception {
        byte[] dataKey = counted(100, 32), wrapping = counted(0, 32), iv = counted(200, 12);
        byte[] plaintext = counted(1, 37);
        KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA");
        generator.initialize(2048);
        KeyPair pair = generator.generateKeyPair();

        System.out.println("{");
        print("data_key", dataKey, false);
        print("plaintext", plaintext, false);
        print("rsa_private_key", pair.getPrivate().getEncoded(), false);
        for (int size : new int[] {16, 24, 32}) {
            SecretKeySpec key = new SecretKeySpec(Arrays.copyOf(wrapping, size), "AES");
            Cipher wrap = Cipher.getInstance("AESWrap");
            wrap.init(Cipher.WRAP_MODE, key);
            print("AESWrap " + size, wrap.wrap(new SecretKeySpec(dataKey, "AES")), false);
            Cipher ecb = Cipher.getInstance("AES");
            ecb.init(Cipher.ENCRYPT_MODE, key);
            print("AES " + size, ecb.doFinal(dataKey), false);
            print("AES/GCM " + size, wrapped(key.getEncoded(), iv, "AES/GCM/NoPadding", dataKey), false);
            print("02 " + size, wrapped(key.getEncoded(), iv, "115", dataKey), false);
        }
        Cipher pkcs1 = Cipher.getInstance("RSA");
        pkcs1.init(Cipher.ENCRYPT_MODE, pair.getPublic());
        print("RSA", pkcs1.doFinal(dataKey), false);
        Cipher oaep = Cipher.getInstance("RSA/ECB/OAEPWithSHA-256AndMGF1Padding");
        oaep.init(Cipher.WRAP_MODE, pair.getPublic());
        print("RSA/ECB/OAEPWithSHA-256AndMGF1Padding", oaep.wrap(new SecretKeySpec(dataKey, "AES")), false);
        print("RSA-OAEP-SHA1", oaepSha1(pair, "AES/GCM/NoPadding", dataKey), false);
        print("22", oaepSha1(pair, "115", dataKey), false);
        Cipher cbc = Cipher.getInstance("AES/CBC/PKCS5Padding");
        cbc.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(dataKey, "AES"), new IvParameterSpec(counted(50, 16)));
        print("AES/CBC/PKCS5Padding", cbc.doFinal(plaintext), false);
        print("AES/GCM/NoPadding", gcm(dataKey, iv, new byte[0], plaintext), true);
        System.out.println("}");
    }
}
