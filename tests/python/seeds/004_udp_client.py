import socket
ip_port=("127.0.0.1",8000)
buffer_size=1024
udp_client=socket.socket(socket.AF_INET,socket.SOCK_DGRAM) #数据报
while True: #通信循环
    msg=input(">>:").strip()
    udp_client.sendto(msg.encode("utf-8"),ip_port) #每次发包都要指定端口
    data,addr= udp_client.recvfrom(buffer_size)
    print(data.decode("utf-8"))
udp_client.close()
